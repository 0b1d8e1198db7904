"""Writing one safetensors file of tensors that come one after the other, of which not all are in memory at once.

The format's header comes first and names every tensor, so room is left for it: it may end in spaces
(https://huggingface.co/docs/safetensors).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import IO

import torch
from torch import Tensor

from search_spaces.errors import SpaceError
from search_spaces.parents.checkpoint_files import stored_dtypes


class StatisticsWriter:
    """Writes tensors to a file, each as it is added.

    Attributes:
        shares: weight's name -> which tensor is its statistic; to be filled.
        input_first: weights that are stored as (n, o) or (E, n, o); to be filled.
    """

    def __init__(self, file: IO[bytes], room: int) -> None:
        """Begin a file whose header has at most `room` bytes, rounded up to a multiple of 8."""
        self.shares: dict[str, str] = {}
        self.input_first: set[str] = set()
        self._file, self._room = file, room + -room % 8
        self._codes = {dtype: code for code, dtype in stored_dtypes().items()}
        self._entries: dict[str, object] = {}
        self._end = 0
        file.write(b" " * (8 + self._room))

    def add(self, name: str, tensor: Tensor) -> None:
        """Write a tensor."""
        content = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data
        start, self._end = self._end, self._end + len(content)
        self._entries[name] = {
            "dtype": self._codes[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [start, self._end],
        }
        self._file.write(content)

    def finish(self, metadata: Mapping[str, str]) -> None:
        """Write the header."""
        text = json.dumps({"__metadata__": dict(metadata), **self._entries}, separators=(",", ":")).encode()
        if len(text) > self._room:
            raise SpaceError(f"statistics: expected names that fit {self._room} bytes, found {len(text)}; name fewer")
        self._file.seek(0)
        self._file.write(self._room.to_bytes(8, "little") + text.ljust(self._room))
