"""Writing an output directory: apart from the parents, and all of it or nothing."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from search_spaces.errors import SpaceError
from search_spaces.file_lock import hold
from search_spaces.parents.parents import Parents

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def check_target(target: Path, parents: Parents) -> None:
    """Do nothing if a directory can be written."""
    for name, parent in parents.checkpoints.items():
        if target.is_relative_to(parent.directory) or parent.directory.is_relative_to(target):
            raise SpaceError(f"{target}: expected a directory apart from the parents, found parent {name!r} there")
    check_unused(target)


def check_unused(target: Path) -> None:
    """Do nothing if there is no directory yet, or an empty one."""
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise SpaceError(f"{target}: expected a new or empty directory, found one in use; name another")


def check_room(target: Path, needed: int) -> None:
    """Do nothing if the disk has room for so many bytes."""
    place = next(path for path in target.parents if path.exists())
    free = shutil.disk_usage(place).free
    if free < needed:
        raise SpaceError(f"{place}: expected {needed:,} free bytes for the export, found {free:,}; {_make_room()}")


def _make_room() -> str:
    return "make room on the disk, or export to another one"


@contextmanager
def complete_or_nothing(target: Path) -> Iterator[Path]:
    """Yield a hidden directory beside the target, and rename it to the target when the block succeeds."""
    partial = target.with_name(f".{target.name}.partial")
    try:
        with claimed(partial):
            try:
                yield partial
                os.replace(partial, target)
            except BaseException:
                shutil.rmtree(partial, ignore_errors=True)
                raise
    except OSError as error:
        if error.errno in _FULL:
            raise SpaceError(f"{target}: the disk became full while exporting ({error}); {_make_room()}") from error
        raise SpaceError(f"{target}: cannot be written ({error}); check the path and its permissions") from error


@contextmanager
def claimed(directory: Path) -> Iterator[None]:
    """Hold a lock on a new, empty directory, where there are locks; what a killed export left in it is removed."""
    directory.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        hold(descriptor, wait=False)
        if not directory.exists() or os.fstat(descriptor).st_ino != directory.stat().st_ino:
            raise BlockingIOError  # its former owner has just renamed it
        for leftover in directory.iterdir():
            shutil.rmtree(leftover) if leftover.is_dir() and not leftover.is_symlink() else leftover.unlink()
        yield
    except BlockingIOError as error:
        raise SpaceError(f"{directory}: another export to the same place is under way") from error
    finally:
        os.close(descriptor)
