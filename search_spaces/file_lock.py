"""Locks on files, which go with the process that holds them; some file systems of a network have none."""

from __future__ import annotations

import errno
import fcntl

_NONE = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP)


def hold(descriptor: int, *, wait: bool) -> bool:
    """Lock an open file for this process until it is closed; False where its file system knows no locks.

    Raises:
        BlockingIOError: another process holds it, and this one is not to wait.
        OSError: anything else.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError as error:
        if error.errno in _NONE:
            return False
        raise
    return True
