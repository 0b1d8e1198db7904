"""What files hold that are read as a whole, and JSON that can be read in one way alone. Every room may import this."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evomerge.errors import EvomergeError, shortened

_MOST_BYTES = 2**30  # of a file that is read as a whole


class RepeatedKeyError(EvomergeError, ValueError):
    """An object of JSON has a key twice."""


def content_of(file: Path, most: int = _MOST_BYTES) -> bytes:
    """Return what a file holds.

    Raises:
        OSError: it cannot be read, it is a pipe or a device, which may never end, or it has more than `most` bytes.
    """
    descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        state = os.fstat(descriptor)
        if stat.S_ISDIR(state.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(file))
        if not stat.S_ISREG(state.st_mode):
            raise OSError(errno.EINVAL, "a pipe or a device, which is no file", str(file))
        if state.st_size > most:
            raise OSError(errno.EFBIG, f"{state.st_size:,} bytes, which is more than {most:,}", str(file))
        with open(descriptor, "rb", closefd=False) as opened:
            return opened.read()
    finally:
        os.close(descriptor)


def each_key_once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object of JSON, for `object_pairs_hook`; of a key that stands twice json would take the last."""
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise RepeatedKeyError(f"expected each key once, found {shortened(repr(twice), 60)} twice in one object")
    return found
