"""The bytes of parents' files in memory of the host that a node's workers share, pinned where there is CUDA.

Each file is copied once into a file of a directory in memory (/dev/shm), whose name says what it contains. Who uses it
holds a lock on it, which the system gives back however a process ends: the last one to end deletes the file, and what
killed processes left is deleted when any other begins.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import shutil
import time
import weakref
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from search_spaces.errors import SpaceError
from search_spaces.parents.checkpoint_files import StoredTensor
from search_spaces.parents.content import file_digest

SHARED = Path("/dev/shm")
_PREFIX = "evomerge-parent"

_LOG = logging.getLogger(__name__)


class HostMemory:
    """Parents' weight files, copied into shared memory when a tensor of theirs is first read."""

    def __init__(self, *, pinned: bool, directory: Path = SHARED) -> None:
        """Delete what killed processes left in the directory; nothing is copied yet."""
        self._pinned, self._directory = pinned, directory
        self._contents: dict[Path, Tensor] = {}
        for left in directory.glob(f"{_PREFIX}-{os.getuid()}-*"):
            _delete_if_unused(left)

    def view(self, tensor: StoredTensor) -> Tensor:
        """Return a stored tensor as a view of the shared memory; do not write to it.

        Raises:
            SpaceError: there is no room for the file.
        """
        if tensor.path not in self._contents:
            self._contents[tensor.path] = self._opened(tensor.path)
        part = self._contents[tensor.path][tensor.first : tensor.first + tensor.nbytes]
        if tensor.first % tensor.dtype.itemsize:  # of no alignment
            part = part.clone()
        return part.view(tensor.dtype).view(tensor.shape)

    def _opened(self, path: Path) -> Tensor:
        target = self._directory / f"{_PREFIX}-{os.getuid()}-{file_digest(path)}"
        size = path.stat().st_size
        descriptor = os.open(target, os.O_RDWR | os.O_CREAT, 0o600)
        while True:
            # Nobody deletes what others have locked: this one is held shared until the process ends.
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            if not _is(target, descriptor):  # deleted between the two calls
                os.close(descriptor)
                return self._opened(path)
            if os.fstat(descriptor).st_size == size:
                break
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:  # others look at it too, or one of them fills it
                time.sleep(0.01)
                continue
            if os.fstat(descriptor).st_size != size:
                _fill(path, target, descriptor)
        content = torch.from_file(str(target), shared=True, size=size, dtype=torch.uint8)
        registered = self._pinned and _registered(content)
        weakref.finalize(self, _let_go, target, descriptor, content.data_ptr() if registered else None)
        return content


def shareable_bytes(directory: Path = SHARED) -> int:
    """Return how many bytes parents may take there: what is free of the memory, and what they take already."""
    held = sum(file.stat().st_size for file in directory.glob(f"{_PREFIX}-{os.getuid()}-*"))
    available = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    with contextlib.suppress(OSError, StopIteration):  # what the page cache gives back counts too
        lines = Path("/proc/meminfo").read_text().splitlines()
        available = int(next(line for line in lines if line.startswith("MemAvailable")).split()[1]) * 1024
    if not directory.is_dir():
        return available
    return min(available, shutil.disk_usage(directory).free) + held


def _fill(path: Path, target: Path, descriptor: int) -> None:
    """Copy a file, whole or not at all: until then it has another name's size."""
    size, free = path.stat().st_size, shutil.disk_usage(target.parent).free
    try:
        if size > free:
            raise OSError(None, f"{free / 1e9:.1f} GB are free there")
        with path.open("rb") as source, os.fdopen(os.dup(descriptor), "wb") as copy:
            shutil.copyfileobj(source, copy, 2**24)
    except OSError as error:
        os.truncate(descriptor, 0)
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        _let_go(target, descriptor, None)
        raise SpaceError(
            f"workers.parents: streamed expected {size / 1e9:.1f} GB of room in {target.parent} for {path.name}, but "
            f"{error.strerror or error}; write mapped"
        ) from error


def _registered(content: Tensor) -> bool:
    """Pin memory for CUDA; return whether that was done, without which copies are slower."""
    failed = _cudart().cudaHostRegister(content.data_ptr(), content.nbytes, 0)
    if int(failed):
        _LOG.warning("parents in shared memory cannot be pinned (CUDA error %d): copies are slower", int(failed))
    return not int(failed)


def _cudart() -> Any:
    return torch.cuda.cudart()  # type: ignore[no-untyped-call]


def _let_go(target: Path, descriptor: int, pinned: int | None) -> None:
    if pinned is not None:
        _cudart().cudaHostUnregister(pinned)
    os.close(descriptor)
    _delete_if_unused(target)


def _delete_if_unused(target: Path) -> None:
    with contextlib.suppress(OSError):  # in use, or deleted by another
        descriptor = os.open(target, os.O_RDWR)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is(target, descriptor):
                target.unlink()
        finally:
            os.close(descriptor)


def _is(target: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(target.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
