"""A checkpoint on disk, opened lazily and memory-mapped: reading headers only.

Parents whose heads differ, some tied to the embedding and others not, each get one of their own here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search_spaces.architecture.architecture import Architecture
from search_spaces.architecture.levels import says_tied, with_tie
from search_spaces.architecture.reading import read_architecture
from search_spaces.architecture.whole import flaws_of
from search_spaces.errors import SpaceError, few_lines, shortened
from search_spaces.parents.adapted import adapt
from search_spaces.parents.adapter_files import AdapterFiles, is_adapter, read_adapter
from search_spaces.parents.checkpoint_files import (
    ADAPTER_WEIGHTS,
    CONFIG,
    TOKENIZER,
    LazyTensor,
    find_directory,
    open_safetensors,
    read_config,
)
from search_spaces.parents.lora import Adapter
from search_spaces.parents.weight_files import find_shards
from search_spaces.recipes.recipe import ParentSource

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Checkpoint:
    """One checkpoint in safetensors form, in one file or in shards, with a LoRA adapter on it or without.

    Attributes:
        source: what it was opened from.
        directory: where the model's files lie, absolute; with an adapter, those of the model under it.
        config: its config.json.
        size_bytes: the bytes of its weight files.
        adapter: the adapter that its tensors include; None if there is none.
        borrowed: the tensors that are the base's, as its own architecture has none (`alignment`).
        flaws: in words, what its files lack of what its module needs, or contradict; without the adapter.
    """

    source: ParentSource
    directory: Path
    config: Mapping[str, Any]
    size_bytes: int
    _tensors: Mapping[str, LazyTensor]
    adapter: Adapter | None = None
    borrowed: tuple[str, ...] = ()
    flaws: tuple[str, ...] = ()
    _architecture: Architecture | None = None
    _naming: Mapping[str, Any] | None = None

    @staticmethod
    def open(source: ParentSource) -> Checkpoint:
        """Open a directory or hub id; every file's header is checked against its length.

        Raises:
            SpaceError: the source is missing, damaged, quantised or not in safetensors form, no model can be made of
                its config.json, or it has an adapter that does not fit it or is more than a LoRA.
        """
        directory = find_directory(source)
        if is_adapter(directory):
            if source.adapter is not None:
                raise SpaceError(f"{directory}: expected a full model under the adapter, found another adapter")
            files = read_adapter(directory)
            return _with_adapter(replace(Checkpoint.open(files.base), source=source), files)
        if source.adapter is not None:
            adapter = find_directory(ParentSource(source.adapter, source.adapter_revision))
            plain = Checkpoint.open(ParentSource(source.model, source.revision))
            return _with_adapter(replace(plain, source=source), read_adapter(adapter))
        config = read_config(directory)
        shards = find_shards(directory)
        tensors: dict[str, LazyTensor] = {}
        for path, promised in shards.items():
            held = open_safetensors(path)
            missing = [name for name in promised or () if name not in held]
            if missing:
                raise SpaceError(f"{path}: expected the tensor {missing[0]} as the index says, found none")
            tensors |= held if promised is None else {name: held[name] for name in promised}
        plain = Checkpoint(source, directory, config, sum(p.stat().st_size for p in shards), tensors)
        return replace(plain, flaws=plain.flaws_of(plain.architecture))

    def check_whole(self, *, own_code: bool = True) -> None:
        """Do nothing if its files are what its module needs; with `own_code`, code that it brings may need others.

        Raises:
            SpaceError: they are not.
        """
        if self.flaws and not (own_code and self.brings_code):
            raise SpaceError(
                few_lines(
                    [f"{self.directory}: expected a whole checkpoint:", *(shortened(flaw) for flaw in self.flaws)]
                )
                + "; download it again, or mend its config.json"
            )

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of all tensors, in a fixed order."""
        return tuple(self._tensors)

    @property
    def tokenizer_directory(self) -> Path:
        """Where the tokenizer's files lie: beside the adapter if it brings some, else beside the model."""
        if self.adapter is not None and (self.adapter.files.directory / TOKENIZER).is_file():
            return self.adapter.files.directory
        return self.directory

    def __contains__(self, name: object) -> bool:
        return name in self._tensors

    def shape(self, name: str) -> tuple[int, ...]:
        """Return a tensor's shape; reads no data."""
        return tuple(self.lazy(name).shape)

    def dtype(self, name: str) -> torch.dtype:
        """Return the dtype that `tensor` gives: the stored one, or float32 if an adapter changes it."""
        return self.lazy(name).dtype

    def tensor(self, name: str) -> torch.Tensor:
        """Return a tensor, a stored one as a view of the mapped file; do not write to it."""
        return self.lazy(name).read()

    def lazy(self, name: str) -> LazyTensor:
        """Return a tensor that is not read yet."""
        try:
            return self._tensors[name]
        except KeyError:
            raise SpaceError(f"{self.directory}: expected a tensor {name}, found none") from None

    def having(self, tensors: Mapping[str, LazyTensor], config: Mapping[str, Any]) -> Checkpoint:
        """Return the same checkpoint with some tensors replaced and another config."""
        return replace(self, config=dict(config), _tensors={**self._tensors, **tensors})

    def under_names(
        self, tensors: Mapping[str, LazyTensor], like: Checkpoint, architecture: Architecture
    ) -> Checkpoint:
        """Return the same checkpoint with tensors under another's names; what is the other's is borrowed.

        See `alignment`.
        """
        borrowed = tuple(name for name, tensor in tensors.items() if name in like and tensor is like.lazy(name))
        return replace(self, _tensors=dict(tensors), borrowed=borrowed, _architecture=architecture, _naming=like.naming)

    @property
    def naming(self) -> Mapping[str, Any]:
        """The config.json of the checkpoint whose files name tensors as this one does: its own, or the base's."""
        return self.config if self._naming is None else self._naming

    @cached_property
    def architecture(self) -> Architecture:
        """What its tensors are, asked of transformers; of a model type that it does not know, a guess that says so."""
        if self._architecture is not None:
            return self._architecture
        try:
            return read_architecture(self.config, self._shapes)
        except SpaceError as error:
            raise SpaceError(f"{self.directory / CONFIG}: {error}") from error

    @property
    def brings_code(self) -> bool:
        """Whether code of its own, which is never run, may make another module of it than transformers does."""
        return "auto_map" in self.config

    @property
    def _shapes(self) -> dict[str, tuple[int, ...]]:
        return {name: self.shape(name) for name in self.names}

    def flaws_of(self, architecture: Architecture) -> tuple[str, ...]:
        """Return what its tensors lack of what an architecture needs, or contradict, in words."""
        whole_numbers = [name for name in self.names if not self.dtype(name).is_floating_point]
        return flaws_of(architecture.needs, self._shapes, set(whole_numbers))

    @property
    def embedding(self) -> str | None:
        """The name of the token embedding: (vocabulary, width), before the layers; None if there is none."""
        return self.architecture.embedding

    @property
    def head(self) -> str | None:
        """The name of the output head over the vocabulary; None if the file holds none."""
        return self.architecture.head

    @property
    def said_tied(self) -> bool | None:
        """What its config says of head and token embedding; None where it says nothing."""
        return says_tied(self.config, self.architecture.head_level)

    @cached_property
    def tied(self) -> bool:
        """Whether head and token embedding are one tensor, as transformers decides it.

        A head that is in the file and differs from the embedding is untied whatever the config says. Reads both
        tensors where the config does not say that they are separate. What has no head is not tied.
        """
        if self.head is None or self.embedding is None:
            return self.head is None and self.architecture.has_head
        if self.said_tied is False:
            return False
        return self.tensor(self.head).equal(self.tensor(self.embedding))


def with_own_heads(checkpoints: Mapping[str, Checkpoint]) -> dict[str, Checkpoint]:
    """Return the parents, all tied or all untied.

    If one is untied, each tied one has its embedding as its head, under the untied one's name and without a copy, and
    says so in its config: the merged model then has a head of its own.
    """
    untied = [checkpoint for checkpoint in checkpoints.values() if not checkpoint.tied and checkpoint.head is not None]
    if not untied:
        return dict(checkpoints)
    head = untied[0].head
    assert head is not None
    return {name: _untied(checkpoint, head) for name, checkpoint in checkpoints.items()}


def head_is_embedding(checkpoint: Checkpoint) -> bool:
    """Return whether a checkpoint's head of its own is nothing but its embedding."""
    head, embedding = checkpoint.head, checkpoint.embedding
    return head is not None and embedding is not None and checkpoint.lazy(head) is checkpoint.lazy(embedding)


def _untied(checkpoint: Checkpoint, head: str) -> Checkpoint:
    # One that says that it is untied but has no head is the preflight's to refuse.
    if not checkpoint.tied or checkpoint.embedding is None or checkpoint.said_tied is False:
        return checkpoint
    own = checkpoint.head or head
    tensors = {own: checkpoint.lazy(checkpoint.embedding)}
    config = with_tie(checkpoint.config, checkpoint.architecture.head_level, tied=False)
    untied = checkpoint.having(tensors, config)
    known = checkpoint._architecture
    return untied if known is None else replace(untied, _architecture=replace(known, head=own))


def _with_adapter(plain: Checkpoint, files: AdapterFiles) -> Checkpoint:
    adapter, tensors, config = adapt(plain, files)
    size = plain.size_bytes + (files.directory / ADAPTER_WEIGHTS).stat().st_size
    return replace(plain, config=config, size_bytes=size, _tensors=tensors, adapter=adapter)
