"""Statistics of parents on disk, found by what they were collected from.

They lie under `$EVOMERGE_CACHE/statistics/DIGEST/KIND.safetensors` (default `~/.cache/evomerge`); the digest names a
parent's weights and the prompts that it read. Weights that share a statistic, as q, k and v share their input, name it
in the file's metadata, so that it is stored once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

from safetensors import SafetensorError, safe_open
from torch import Tensor

from search_spaces.cache_directory import cache_directory, kept_file
from search_spaces.errors import SpaceError
from search_spaces.statistics.writer import StatisticsWriter

# gram: E x x^T of a linear layer's input, (n, n), or (E, n, n) of experts; merged_gram: the same, where the input comes
# from the merged layers before (RegMean++); fisher: diagonal, of the weights' shape; output_gram: E g g^T of the
# gradient at a linear layer's output, (o, o); moments: Adam's second moments, of the weights' shape; sensitivity: one
# number for each tensor (Sens-Merging).
Kind = Literal["gram", "merged_gram", "fisher", "output_gram", "moments", "sensitivity"]

OF_ALL_PARENTS = frozenset({"merged_gram", "sensitivity"})  # kinds that depend on the other parents too

# Metadata, JSON: weight -> name of the tensor in the file; names of weights whose inputs stand first, (n, o).
_SHARES, _INPUT_FIRST = "shares", "input_first"


class StatisticsStore:
    """Reads and writes statistics; several processes may share it."""

    def __init__(self, directory: Path | None = None) -> None:
        """Use a directory; None: the default one. Nothing is read or written yet."""
        self._directory = cache_directory("statistics") if directory is None else directory

    def holds(self, digest: str, kind: Kind, together: str = "") -> bool:
        """Return whether there are whole statistics of a kind; `together` names the parents' set (`OF_ALL_PARENTS`)."""
        try:
            self._opened(digest, kind, together)
        except SpaceError:  # none, or a torn file, in whose place they are collected again
            return False
        return True

    def tensor(self, digest: str, kind: Kind, name: str, together: str = "") -> Tensor | None:
        """Return the statistic of one of the parent's tensors, memory-mapped; None where that tensor has none.

        Raises:
            SpaceError: nothing of this digest and kind was collected here.
        """
        opened = self._opened(digest, kind, together)
        key = opened.shares.get(name)
        return None if key is None else cast("Tensor", opened.file.get_tensor(key))

    def key(self, digest: str, kind: Kind, name: str, together: str = "") -> str | None:
        """Return which stored tensor is the statistic of one of the parent's tensors, None where it has none."""
        return self._opened(digest, kind, together).shares.get(name)

    def is_input_first(self, digest: str, kind: Kind, name: str, together: str = "") -> bool:
        """Return whether a weight is stored as (n, o) or (E, n, o), n its inputs; that is known of kinds of Grams."""
        return name in self._opened(digest, kind, together).input_first

    def write(
        self,
        digest: str,
        kind: Kind,
        tensors: Mapping[str, Tensor],
        shares: Mapping[str, str],
        together: str = "",
        *,
        input_first: Iterable[str] = (),
    ) -> None:
        """Keep statistics that are all in memory, whole or not at all.

        Args:
            digest: of the parent's weights and what it read.
            kind: what they are.
            tensors: as they are stored.
            shares: weight's name -> which of `tensors` is its statistic.
            together: the set of parents that some kinds belong to (`OF_ALL_PARENTS`).
            input_first: the weights that are stored as (n, o) or (E, n, o), n the Gram matrix's.
        """
        with self.writing(digest, kind, len(tensors) + len(shares), together) as writer:
            for name, tensor in tensors.items():
                writer.add(name, tensor)
            writer.shares.update(shares)
            writer.input_first.update(input_first)

    @contextmanager
    def writing(self, digest: str, kind: Kind, n_names: int, together: str = "") -> Iterator[StatisticsWriter]:
        """Keep statistics tensor by tensor; they are in the store, whole, once the block is left without an error.

        `n_names` is how many tensors and weights there are at most, for the file's header comes first.
        """
        with kept_file(self._path(digest, kind, together)) as file:
            writer = StatisticsWriter(file, room=4096 + 512 * n_names)
            yield writer
            writer.finish({_SHARES: json.dumps(writer.shares), _INPUT_FIRST: json.dumps(sorted(writer.input_first))})

    def _path(self, digest: str, kind: Kind, together: str) -> Path:
        suffix = f"-{together}" if kind in OF_ALL_PARENTS else ""
        return self._directory / digest / f"{kind}{suffix}.safetensors"

    def _opened(self, digest: str, kind: Kind, together: str) -> _Opened:
        path = self._path(digest, kind, together)
        return _opened(path, _stamp(path))


def together(digests: Iterable[str]) -> str:
    """Return the name of a set of parents' statistics, whatever their order."""
    return hashlib.sha256("\0".join(sorted(digests)).encode()).hexdigest()[:32]


def _stamp(path: Path) -> tuple[int, int]:
    try:
        state = path.stat()
    except OSError as error:
        raise SpaceError(
            f"statistics: expected {path.stem} of a parent at {path}, found none; collect them again: "
            "`evomerge run` on the campaign, or `evomerge merge` on the recipe that names its prompts"
        ) from error
    return state.st_mtime_ns, state.st_size


class _Opened(NamedTuple):
    file: Any
    shares: dict[str, str]
    input_first: frozenset[str]


@lru_cache(maxsize=64)
def _opened(path: Path, _: tuple[int, int]) -> _Opened:
    try:
        file: Any = safe_open(path, "pt")
        metadata = file.metadata() or {}
        shares, first = (json.loads(metadata.get(key, "null")) for key in (_SHARES, _INPUT_FIRST))
    except (OSError, SafetensorError, json.JSONDecodeError) as error:
        raise SpaceError(f"statistics: expected whole statistics in {path}, found: {error}; delete the file") from error
    return _Opened(file, shares or {}, frozenset(first or ()))
