"""Statistics of parents on disk, found by what they were collected from.

They lie under `$EVOMERGE_CACHE/statistics/DIGEST/KIND.safetensors` (default `~/.cache/evomerge`); the digest names a
parent's weights and the prompts that it read. Weights that share a statistic, as q, k and v share their input, name it
in the file's metadata, so that it is stored once.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from search_spaces.cache_directory import cache_directory
from search_spaces.errors import SpaceError

# gram: E x x^T of a linear layer's input, (n, n), or (E, n, n) of experts; merged_gram: the same, where the input comes
# from the merged layers before (RegMean++); fisher: diagonal, of the weights' shape; output_gram: E g g^T of the
# gradient at a linear layer's output, (o, o); moments: Adam's second moments, of the weights' shape; sensitivity: one
# number for each tensor (Sens-Merging).
Kind = Literal["gram", "merged_gram", "fisher", "output_gram", "moments", "sensitivity"]

_SHARES = "shares"  # metadata: JSON, weight -> name of the tensor in the file


class StatisticsStore:
    """Reads and writes statistics; several processes may share it."""

    def __init__(self, directory: Path | None = None) -> None:
        """Use a directory; None: the default one. Nothing is read or written yet."""
        self._directory = cache_directory("statistics") if directory is None else directory

    def holds(self, digest: str, kind: Kind, together: str = "") -> bool:
        """Return whether there are statistics of a kind; `together` names the set that `merged_gram` belongs to."""
        return self._path(digest, kind, together).is_file()

    def tensor(self, digest: str, kind: Kind, name: str, together: str = "") -> Tensor | None:
        """Return the statistic of one of the parent's tensors, memory-mapped; None where that tensor has none.

        Raises:
            SpaceError: nothing of this digest and kind was collected here.
        """
        path = self._path(digest, kind, together)
        file, shares = _opened(path, _stamp(path))
        key = shares.get(name)
        return None if key is None else file.get_tensor(key)

    def key(self, digest: str, kind: Kind, name: str, together: str = "") -> str | None:
        """Return what is one and the same for tensors that share a statistic; see `tensor`."""
        path = self._path(digest, kind, together)
        return _opened(path, _stamp(path))[1].get(name)

    def write(
        self, digest: str, kind: Kind, tensors: Mapping[str, Tensor], shares: Mapping[str, str], together: str = ""
    ) -> None:
        """Keep statistics, whole or not at all.

        Args:
            digest: of the parent's weights and what it read.
            kind: what they are.
            tensors: as they are stored.
            shares: weight's name -> which of `tensors` is its statistic.
            together: the set that `merged_gram` belongs to (`together`).
        """
        path = self._path(digest, kind, together)
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, partial = tempfile.mkstemp(dir=path.parent, suffix=".partial")
        os.close(handle)
        try:
            save_file({k: t.contiguous() for k, t in tensors.items()}, partial, {_SHARES: json.dumps(dict(shares))})
            os.replace(partial, path)
        except BaseException:
            Path(partial).unlink(missing_ok=True)
            raise

    def _path(self, digest: str, kind: Kind, together: str) -> Path:
        suffix = f"-{together}" if kind == "merged_gram" else ""
        return self._directory / digest / f"{kind}{suffix}.safetensors"


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


@lru_cache(maxsize=64)
def _opened(path: Path, _: tuple[int, int]) -> tuple[Any, dict[str, str]]:
    try:
        file: Any = safe_open(path, "pt")
        shares = json.loads((file.metadata() or {}).get(_SHARES, "{}"))
    except (OSError, SafetensorError, json.JSONDecodeError) as error:
        raise SpaceError(f"statistics: expected whole statistics in {path}, found: {error}; delete the file") from error
    return file, shares
