"""Where files are kept that only save time."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO

from search_spaces.file_lock import hold

_PARTIAL = ".partial"
_YOUNG = 60.0  # seconds in which a file may not be locked yet by who began it


def cache_directory(kind: str) -> Path:
    """Return the directory of one kind of such files: in `$EVOMERGE_CACHE`, or in `~/.cache/evomerge`."""
    return Path(os.environ.get("EVOMERGE_CACHE") or "~/.cache/evomerge").expanduser() / kind


def keep_text(file: Path, text: str) -> None:
    """Write a file of such a directory, whole or not at all."""
    with kept_file(file) as opened:
        opened.write(text.encode())


@contextlib.contextmanager
def kept_file(file: Path) -> Iterator[IO[bytes]]:
    """Yield a file to write, which takes its place in such a directory, whole, if the block ends without an error."""
    file.parent.mkdir(parents=True, exist_ok=True)
    _sweep(file.parent)
    with NamedTemporaryFile(dir=file.parent, suffix=_PARTIAL, delete=False) as partial:
        try:
            hold(partial.fileno(), wait=True)  # it is being written as long as this process lives
            yield partial
            partial.flush()
            os.fsync(partial.fileno())  # a file of the right length must have the right contents
            os.replace(partial.name, file)
        except BaseException:
            Path(partial.name).unlink(missing_ok=True)
            raise


def _sweep(directory: Path) -> None:
    """Delete what a process that was killed left unfinished; it may be as large as all the others."""
    for left in directory.glob(f"*{_PARTIAL}"):
        with contextlib.suppress(OSError), left.open("rb") as file:
            if time.time() - left.stat().st_mtime > _YOUNG:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # raises while its writer lives
                left.unlink()
