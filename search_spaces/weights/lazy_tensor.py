"""Tensors that are read when they are asked for, and the safetensors files that hold most of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from search_spaces.errors import SpaceError

if TYPE_CHECKING:
    import torch


class LazyTensor(Protocol):
    """A tensor of a parent: stored, or computed from stored ones."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Return its shape; reads no data."""
        ...

    @property
    def dtype(self) -> torch.dtype:
        """Return the dtype that `read` gives; reads no data."""
        ...

    def read(self) -> torch.Tensor:
        """Return its values, on the CPU; do not write to them."""
        ...


@dataclass(frozen=True)
class StoredTensor:
    """A tensor in a safetensors file; reading gives a view of the mapped file.

    Attributes:
        name: its name in the file.
    """

    name: str
    _file: Any  # safetensors.safe_open

    @property
    def shape(self) -> tuple[int, ...]:
        """Return the shape that the file's header tells."""
        return tuple(self._file.get_slice(self.name).get_shape())

    @property
    def dtype(self) -> torch.dtype:
        """Return the stored dtype."""
        return _dtypes()[self._file.get_slice(self.name).get_dtype()]

    def read(self) -> torch.Tensor:
        """Return a view of the file's pages, always the same."""
        return self._view

    @cached_property
    def _view(self) -> torch.Tensor:
        tensor: torch.Tensor = self._file.get_tensor(self.name)
        return tensor


def open_safetensors(path: Path) -> Mapping[str, LazyTensor]:
    """Return the tensors of one file by name; reads its header, and checks it against the length of the file.

    Raises:
        SpaceError: the file is truncated or damaged, or holds a dtype that cannot be merged.
    """
    from safetensors import SafetensorError, safe_open

    try:
        file: Any = safe_open(path, framework="pt")
    except (SafetensorError, OSError) as error:
        raise SpaceError(
            f"{path}: expected a whole safetensors file, found a truncated or damaged one of {path.stat().st_size:,} "
            f"bytes ({error}); download or save it again"
        ) from error
    names = sorted(file.keys())
    for name in names:
        found = file.get_slice(name).get_dtype()
        if found not in _dtypes():
            raise SpaceError(
                f"{path.parent}: expected float32, bfloat16 or float16, found {found} in {name}; "
                "convert the weights to one of these first"
            )
    return {name: StoredTensor(name, file) for name in names}


def _dtypes() -> dict[str, torch.dtype]:
    import torch

    return {
        "F64": torch.float64,
        "F32": torch.float32,
        "F16": torch.float16,
        "BF16": torch.bfloat16,
        "I64": torch.int64,
        "I32": torch.int32,
        "I16": torch.int16,
        "I8": torch.int8,
        "U8": torch.uint8,
        "BOOL": torch.bool,
    }
