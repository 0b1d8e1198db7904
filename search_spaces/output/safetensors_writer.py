"""Writing safetensors shards tensor by tensor: the library's own writer wants a whole shard in memory.

Format: 8 bytes, the header's length as little-endian uint64; the header, JSON, padded with spaces; the tensors' bytes
without gaps (https://huggingface.co/docs/safetensors).
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

import torch
from torch import Tensor

from search_spaces.parents.checkpoint_files import stored_dtypes

_CODES = {dtype: code for code, dtype in stored_dtypes().items()}


@dataclass(frozen=True)
class TensorSpec:
    """A tensor that will be written."""

    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype

    @property
    def n_bytes(self) -> int:
        """Return the bytes of its elements."""
        return prod(self.shape) * self.dtype.itemsize


def split_shards(specs: Sequence[TensorSpec], shard_bytes: int, name: str = "model") -> dict[str, list[TensorSpec]]:
    """Return file name -> tensors, in order, none above `shard_bytes` unless a single tensor is."""
    shards: list[list[TensorSpec]] = [[]]
    room = shard_bytes
    for spec in specs:
        if shards[-1] and spec.n_bytes > room:
            shards.append([])
            room = shard_bytes
        shards[-1].append(spec)
        room -= spec.n_bytes
    if len(shards) == 1:
        return {f"{name}.safetensors": shards[0]}
    return {f"{name}-{i:05}-of-{len(shards):05}.safetensors": shard for i, shard in enumerate(shards, 1)}


def write_shard(path: Path, specs: Sequence[TensorSpec], make: Callable[[Sequence[str]], Iterable[Tensor]]) -> None:
    """Write one safetensors file, new; `make` gives the tensors of some names, each when it is asked for."""
    # Wide elements first, so that each tensor starts at a multiple of its element size.
    ordered = sorted(specs, key=lambda spec: -spec.dtype.itemsize)
    with path.open("xb") as file:
        file.write(_header(ordered))
        for spec, tensor in zip(ordered, make([spec.name for spec in ordered]), strict=True):
            assert (tuple(tensor.shape), tensor.dtype) == (spec.shape, spec.dtype)
            file.write(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
        file.flush()
        os.fsync(file.fileno())


def _header(specs: Sequence[TensorSpec]) -> bytes:
    entries: dict[str, object] = {"__metadata__": {"format": "pt"}}
    start = 0
    for spec in specs:
        end = start + spec.n_bytes
        entries[spec.name] = {"dtype": _CODES[spec.dtype], "shape": list(spec.shape), "data_offsets": [start, end]}
        start = end
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text
