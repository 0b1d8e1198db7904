"""Files that a command writes for its user: whether they can be written is told before the work, and each is whole."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

from evomerge.errors import EvomergeError
from search_spaces.file_lock import hold

_SQLITE = b"SQLite format 3\0"  # what its files begin with
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class OutputError(EvomergeError):
    """A file cannot be written."""


def prepared_file(target: str | Path) -> Callable[[str | bytes], Path]:
    """Return what writes a file, all of it or nothing, after a look whether that can be done.

    What is there already stays until the new content is complete, and keeps its permissions. Devices and pipes are
    written to as they are.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     write = prepared_file(f"{directory}/scores.json")
    ...     write("{}").read_text()
    '{}'

    Args:
        target: the file; its directory must be there.

    Raises:
        OutputError: it cannot be written, now or when it is.
    """
    file = Path(target).expanduser()
    try:
        file = file.resolve()
        if file.is_dir():
            raise OutputError(f"{file}: expected a file to write, found a directory; name a file in it")
        if file.exists() and not file.is_file():
            return lambda content: _written(file, file, content)
        if file.is_file() and _is_archive(file):
            raise OutputError(
                f"{file}: expected a file to write, found an archive or another database; name another file"
            )
        if file.exists() and not os.access(file, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        with partial_file(file):
            pass
    except OSError as error:
        raise _cannot(file, error) from error

    def write(content: str | bytes) -> Path:
        try:
            with partial_file(file) as partial:
                if file.exists():
                    partial.chmod(file.stat().st_mode)
                _written(file, partial, content)
                os.replace(partial, file)
        except OSError as error:
            raise _cannot(file, error) from error
        return file

    return write


def _is_archive(file: Path) -> bool:
    with contextlib.suppress(OSError), file.open("rb") as opened:
        return opened.read(len(_SQLITE)) == _SQLITE
    return False


@contextlib.contextmanager
def partial_file(file: Path) -> Iterator[Path]:
    """Yield a new, empty file in the same directory, which is gone at the end; remove what killed writers left there.

    A writer holds a lock on its file, which goes with the process.
    """
    for leftover in file.parent.glob(".evomerge-*.partial"):
        with contextlib.suppress(OSError), leftover.open("rb") as left:
            fcntl.flock(left, fcntl.LOCK_EX | fcntl.LOCK_NB)
            leftover.unlink()
    with contextlib.ExitStack() as closing:
        while True:
            partial = file.with_name(f".evomerge-{secrets.token_hex(8)}.partial")
            opened = closing.enter_context(partial.open("xb"))
            hold(opened.fileno(), wait=True)
            if partial.exists():  # else another process came before the lock, and took it for a leftover
                break
        closing.callback(partial.unlink, missing_ok=True)
        yield partial


def _written(file: Path, place: Path, content: str | bytes) -> Path:
    data = content.encode() if isinstance(content, str) else content
    try:
        with place.open("wb") as opened:
            opened.write(data)
            opened.flush()
            if place != file:
                os.fsync(opened.fileno())
    except OSError as error:
        raise _cannot(file, error) from error
    return file


def _cannot(file: Path, error: OSError) -> OutputError:
    advice = "make room on the disk" if error.errno in _FULL else "check the path and its permissions"
    return OutputError(f"{file}: cannot be written ({error.strerror or error}); {advice}, or name another file")
