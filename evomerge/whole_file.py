"""Files that a command writes for its user: whether they can be written is told before the work, and each is whole."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Callable
from pathlib import Path

from evomerge.errors import EvomergeError

_MOST_NAME = 200  # bytes; names have 255
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
        if file.exists() and not os.access(file, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        _beside(file).unlink()
    except OSError as error:
        raise _cannot(file, error) from error

    def write(content: str | bytes) -> Path:
        partial: Path | None = None
        try:
            partial = _beside(file)
            if file.exists():
                partial.chmod(file.stat().st_mode)
            _written(file, partial, content)
            os.replace(partial, file)
        except OSError as error:
            raise _cannot(file, error) from error
        finally:
            if partial is not None:
                partial.unlink(missing_ok=True)
        return file

    return write


def _beside(file: Path) -> Path:
    """Return a new, empty file in the same directory, with the permissions of a new file."""
    short = os.fsdecode(os.fsencode(file.name)[:_MOST_NAME])
    partial = file.with_name(f"{short}.{secrets.token_hex(8)}.partial")
    partial.touch(exist_ok=False)
    return partial


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
