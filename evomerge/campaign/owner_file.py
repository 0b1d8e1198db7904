"""Who uses a run directory whose file system has no locks (Lustre without flock, NFS without its lock daemon).

A file that only one process can make says so. It outlives a process that is killed, so who comes next looks whether the
process still lives, on its own machine; of another machine's only the user knows.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from evomerge.errors import EvomergeError

OWNER = "lock.owner"
_LOG = logging.getLogger(__name__)


class RunDirectoryError(EvomergeError, RuntimeError):
    """The run directory cannot be used."""


@contextlib.contextmanager
def owned(root: Path) -> Iterator[None]:
    """Hold a run directory without a lock.

    Raises:
        RunDirectoryError: another process has it, or may have.
    """
    file, me = root / OWNER, f"{os.getpid()} {socket.gethostname()}"
    _remove_if_dead(file)
    try:
        with file.open("x", encoding="utf-8") as made:
            made.write(me)
    except FileExistsError:
        pid, _, host = _said(file).partition(" ")
        raise RunDirectoryError(
            f"{root}: its file system has no locks, and {file.name} says that process {pid or '?'} on {host or '?'} "
            f"uses it; wait for it, or remove {file.name} if that process has ended"
        ) from None
    except OSError as error:
        raise RunDirectoryError(f"{root}: cannot write here ({error.strerror})") from error
    _LOG.warning("%s: its file system has no locks; %s keeps other searches away, also after a kill", root, file.name)
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


def _remove_if_dead(file: Path) -> None:
    pid, _, host = _said(file).partition(" ")
    if host == socket.gethostname() and pid.isdecimal():
        try:
            os.kill(int(pid), 0)
        except ProcessLookupError:
            file.unlink(missing_ok=True)
        except (OSError, OverflowError):  # it lives, and is another user's
            pass


def _said(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")[:300].strip()
    except OSError:
        return ""
