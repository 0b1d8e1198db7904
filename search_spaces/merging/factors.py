"""What spectral operators derive from the parents' weights, computed once per machine and kept on disk.

A singular value decomposition takes a hundred times as long as the products that a candidate makes from it. Files lie
under `$EVOMERGE_CACHE/factors` (default `~/.cache/evomerge/factors`), named by what they were computed from: the
contents of the tensors, not the paths of the checkpoints. A full decomposition of a float32 matrix (o, n) takes
4·min(o, n)·(o + n) bytes: for a transformer about one and a half times its layers in float32, for each parent.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import math
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from search_spaces.cache_directory import cache_directory, kept_file
from search_spaces.errors import SpaceError

if TYPE_CHECKING:
    from search_spaces.parents.checkpoint import Checkpoint

# To be raised whenever a computation changes that an operator's `what` does not tell from its former self.
VERSION = 1
DEFAULT_LIMIT_GB = 32.0

_LOG = logging.getLogger(__name__)


class FactorCache:
    """A memory on disk that several processes may share; what it returns has the bits of what was computed.

    Files are written whole or not at all; a file that cannot be read is computed again. Where the directory cannot be
    written, everything is computed afresh, and a warning says so once. One cache serves one set of opened parents: it
    remembers their tensors' digests by name.
    """

    def __init__(self, directory: Path | None = None, *, limit_bytes: int | None = None) -> None:
        """Use a directory; nothing is read or written before `recall`.

        The files least recently used go when there would be more than `limit_bytes`: 0 keeps nothing, None is 1e9 times
        `$EVOMERGE_CACHE_GB`, or 32 GB. Those that were used since this cache began stay: where a campaign needs more
        than there is room for, as much is found again as fits, and the rest is computed for every candidate.
        """
        self._directory = cache_directory("factors") if directory is None else directory
        self._limit = limit_from_environment() if limit_bytes is None else limit_bytes
        self._digests: dict[tuple[str, ...], bytes] = {}
        self._size: int | None = None  # of all files, as far as this process knows
        self._warned = False
        self._began = time.time()

    def recall(
        self,
        what: str,
        read: Sequence[tuple[tuple[str, ...], Tensor]],
        compute: Callable[[], tuple[Tensor, ...]],
    ) -> tuple[Tensor, ...]:
        """Return `compute()`, or what it returned before in this or another process.

        `what` names the computation with every parameter; each tensor that it reads comes with a name for its contents.
        """
        if not self._limit:
            return _packed(compute())
        device = read[0][1].device if read else torch.device("cpu")
        if device.type != "cpu":  # rounded otherwise than on a CPU
            what = f"{what}, on {device.type}"
        # Copies: where a tensor lies in memory may decide the last bit of a product.
        return tuple(tensor.to(device, copy=True) for tensor in self._found(self._path(what, read), compute))

    def mapped(self, what: str, compute: Callable[[], tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
        """Return likewise what `what` names with all that it is computed from, as views of the file's pages."""
        return self._found(self._path(what, ()), compute) if self._limit else compute()

    def _found(self, path: Path, compute: Callable[[], tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
        found = _load(path)
        if found is None:
            found = _packed([tensor.cpu() for tensor in compute()])
            self._save(path, found)
        return found

    def _path(self, what: str, read: Sequence[tuple[tuple[str, ...], Tensor]]) -> Path:
        key = hashlib.sha256(f"{VERSION}\0{what}".encode())
        for name, tensor in read:
            if name not in self._digests:
                self._digests[name] = _digest(tensor)
            key.update(self._digests[name])
        return self._directory / key.hexdigest()[:2] / f"{key.hexdigest()}.safetensors"

    def _save(self, path: Path, tensors: Sequence[Tensor]) -> None:
        content = save({str(i): tensor for i, tensor in enumerate(tensors)})
        try:
            if self._make_room(len(content)):
                with kept_file(path) as file:
                    file.write(content)
        except OSError as error:
            if not self._warned:
                _LOG.warning(
                    "singular value decompositions cannot be kept in %s (%s): they are computed for every candidate; "
                    "set EVOMERGE_CACHE to a directory with room",
                    self._directory,
                    error.strerror or error,
                )
            self._warned = True

    def _make_room(self, n_bytes: int) -> bool:
        """Delete the files least recently used until there is room; return whether there is."""
        if n_bytes > self._limit:
            return False
        if self._size is None or self._size + n_bytes > self._limit:
            files = sorted(_files(self._directory))
            self._size = sum(size for _, size, _ in files)
            for used, size, path in files:
                if self._size + n_bytes <= self._limit or used >= self._began:
                    break
                path.unlink(missing_ok=True)
                self._size -= size
            if self._size + n_bytes > self._limit:
                return False
        self._size += n_bytes
        return True


def full_bytes(checkpoint: Checkpoint) -> int:
    """Return what the full decompositions of all matrices inside a model's layers take on disk, for each parent."""
    locate = checkpoint.architecture.locate
    shapes = [checkpoint.shape(name) for name in checkpoint.names if locate(name).layer is not None]
    stacks = [(math.prod(shape[:-2]), *shape[-2:]) for shape in shapes if len(shape) in (2, 3) and min(shape[-2:]) > 1]
    return sum(4 * n * min(rows, columns) * (rows + columns) for n, rows, columns in stacks)


def limit_from_environment() -> int:
    """Return how many bytes are kept at most: 1e9 times `$EVOMERGE_CACHE_GB`."""
    text = os.environ.get("EVOMERGE_CACHE_GB", str(DEFAULT_LIMIT_GB))
    try:
        limit = float(text) * 1e9
    except ValueError:
        limit = -1.0
    if not 0.0 <= limit < float("inf"):
        raise SpaceError(f"EVOMERGE_CACHE_GB: expected a number of at least 0, found {text!r}")
    return int(limit)


def _files(directory: Path) -> list[tuple[float, int, Path]]:
    found = []
    for path in directory.glob("??/*.safetensors"):
        with contextlib.suppress(FileNotFoundError):  # another process made room
            state = path.stat()
            found.append((state.st_mtime, state.st_size, path))
    return found


def _load(path: Path) -> tuple[Tensor, ...] | None:
    try:
        with safe_open(path, "pt") as file:
            tensors = tuple(file.get_tensor(str(i)) for i in range(len(file.keys())))
        os.utime(path)
    except (OSError, SafetensorError):
        return None
    return tensors


def _packed(tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
    return tuple(tensor.contiguous() for tensor in tensors)


def _digest(tensor: Tensor) -> bytes:
    digest = hashlib.sha256(f"{tensor.dtype} {tuple(tensor.shape)}\0".encode())
    digest.update(tensor.contiguous().view(-1).view(torch.uint8).cpu().numpy().data)
    return digest.digest()
