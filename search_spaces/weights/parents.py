"""Parents: checkpoints on disk, opened lazily and memory-mapped.

Opening reads headers only. A tensor is a view of the file's pages, which the machine's processes share and the system
may drop and read again, so K parents cost no memory of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search_spaces.errors import SpaceError
from search_spaces.groups import locate
from search_spaces.recipe import ParentSource, Recipe
from search_spaces.weights.checkpoint_files import find_directory, find_shards, read_config

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Checkpoint:
    """One checkpoint in safetensors form, in one file or in shards.

    Attributes:
        source: what it was opened from.
        directory: where its files lie, absolute.
        config: its config.json.
        size_bytes: the bytes of its weight files.
    """

    source: ParentSource
    directory: Path
    config: Mapping[str, Any]
    size_bytes: int
    _files: Mapping[str, Any]  # tensor name -> safetensors.safe_open of the file that holds it

    @staticmethod
    def open(source: ParentSource) -> Checkpoint:
        """Open a directory or hub id; every shard's header is checked against the length of its file.

        Raises:
            SpaceError: the source is missing, damaged, quantised, an adapter, or not in safetensors form.
        """
        directory = find_directory(source)
        config = read_config(directory)
        shards = find_shards(directory)
        files: dict[str, Any] = {}
        for path, promised in shards.items():
            file = _open_file(path)
            held = set(file.keys())
            missing = [name for name in promised or () if name not in held]
            if missing:
                raise SpaceError(f"{path}: expected the tensor {missing[0]} as the index says, found none")
            files.update(dict.fromkeys(sorted(held) if promised is None else promised, file))
        checkpoint = Checkpoint(source, directory, config, sum(p.stat().st_size for p in shards), files)
        checkpoint._check_dtypes()
        return checkpoint

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of all tensors, in a fixed order."""
        return tuple(self._files)

    def __contains__(self, name: object) -> bool:
        return name in self._files

    def shape(self, name: str) -> tuple[int, ...]:
        """Return a tensor's shape; reads no data."""
        return tuple(self._file(name).get_slice(name).get_shape())

    def dtype(self, name: str) -> torch.dtype:
        """Return a tensor's dtype; reads no data."""
        return _dtypes()[self._file(name).get_slice(name).get_dtype()]

    def tensor(self, name: str) -> torch.Tensor:
        """Return a tensor as a view of the mapped file, in its stored dtype; do not write to it."""
        tensor: torch.Tensor = self._file(name).get_tensor(name)
        return tensor

    @cached_property
    def embedding(self) -> str | None:
        """The name of the token embedding: (vocabulary, width), before the layers; None if none can be told."""
        tables = self._tables("before")
        if self.head is not None:
            return next(name for name in tables if self.shape(name) == self.shape(self.head))
        rows = self.config.get("vocab_size")
        named = (name for name in tables if self.shape(name)[0] == rows)
        return next(named, max(tables, key=lambda name: self.shape(name)[0], default=None))

    @cached_property
    def head(self) -> str | None:
        """The name of the output head: after the layers, of an embedding's shape; None if the file holds none."""
        shapes = {self.shape(name) for name in self._tables("before")}
        return next((name for name in self._tables("after") if self.shape(name) in shapes), None)

    @cached_property
    def tied(self) -> bool:
        """Whether head and token embedding are one tensor, as transformers decides it.

        A head that is in the file and differs from the embedding is untied whatever the config says. Reads both
        tensors where the config does not say that they are separate.
        """
        if self.head is None or self.embedding is None:
            return self.head is None
        if self.config.get("tie_word_embeddings") is False:
            return False
        return self.tensor(self.head).equal(self.tensor(self.embedding))

    def _tables(self, side: str) -> list[str]:
        return [name for name in self.names if locate(name).side == side and len(self.shape(name)) == 2]

    def _file(self, name: str) -> Any:
        try:
            return self._files[name]
        except KeyError:
            raise SpaceError(f"{self.directory}: expected a tensor {name}, found none") from None

    def _check_dtypes(self) -> None:
        known = _dtypes()
        for name in self.names:
            found = self._file(name).get_slice(name).get_dtype()
            if found not in known:
                raise SpaceError(
                    f"{self.directory}: expected float32, bfloat16 or float16, found {found} in {name}; "
                    "convert the weights to one of these first"
                )


@dataclass(frozen=True)
class Parents:
    """The checkpoints that recipes name, opened once per process."""

    checkpoints: Mapping[str, Checkpoint]

    @staticmethod
    def open(sources: Mapping[str, ParentSource]) -> Parents:
        """Open every parent.

        Raises:
            SpaceError: at least one parent cannot be opened; the message has one line for each that cannot.
        """
        opened, errors = {}, []
        for name, source in sources.items():
            try:
                opened[name] = Checkpoint.open(source)
            except SpaceError as error:
                errors.append(f"parent {name!r}: {error}")
        if errors:
            raise SpaceError("\n".join(errors))
        return Parents(opened)

    def __getitem__(self, name: str) -> Checkpoint:
        if name not in self.checkpoints:
            raise SpaceError(f"parents: expected one of {sorted(self.checkpoints)}, found {name!r}")
        return self.checkpoints[name]

    def check(self, recipe: Recipe) -> None:
        """Check that a recipe's parents are these.

        Raises:
            SpaceError: a parent of the recipe was not opened, or is another model under the same name.
        """
        for name, source in recipe.parents.items():
            opened = self[name].source
            if opened != source:
                raise SpaceError(f"parent {name!r}: expected {source}, but {opened} is open under this name")


def _open_file(path: Path) -> Any:
    from safetensors import SafetensorError, safe_open

    try:
        return safe_open(path, framework="pt")
    except (SafetensorError, OSError) as error:
        raise SpaceError(
            f"{path}: expected a whole safetensors file, found a truncated or damaged one of {path.stat().st_size:,} "
            f"bytes ({error}); download or save it again"
        ) from error


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
