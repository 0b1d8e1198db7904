"""Passes of parents over what they read, and what comes of them, in the store."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from search_spaces.statistics.store import StatisticsStore, together

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from evomerge.assembly.statistics import Gathering
    from fitness.reading import PassageReader
    from search_spaces.architecture.parts import Part
    from search_spaces.parents.checkpoint import Checkpoint
    from search_spaces.statistics.store import Kind

OF_GRADIENTS = frozenset({"fisher", "output_gram", "sensitivity"})


class Collection:
    """Collects statistics of some parents; what they write is written once, whatever is collected of it."""

    def __init__(self, given: Gathering, digests: Mapping[str, str], owners: Mapping[str, str]) -> None:
        """Begin with nothing; `digests` names the statistics, `owners` says whose tasks are whose."""
        self._given, self._digests, self._owners = given, digests, owners
        self._store, self._together = StatisticsStore(), together(digests.values())

    def collect(self, lacking: Mapping[str, tuple[Kind, ...]]) -> None:
        """Write what the store lacks, parent by parent; what is made through the merged layers, last."""
        for name, kinds in lacking.items():
            if "moments" in kinds:
                self._moments(name)
            if "gram" in kinds:
                self._grams(name)
            if OF_GRADIENTS & set(kinds):
                self._gradients(name, kinds)
        if any("merged_gram" in kinds for kinds in lacking.values()):
            self._merged_grams()

    def _grams(self, name: str) -> None:
        from search_spaces.statistics.grams import write_grams

        (model, reader), parent = self._live(name), self._given.parents[name]
        with self._store.writing(self._digests[name], "gram", 2 * len(parent.names)) as file:
            sharing = write_grams(model, reader, weights=stored_parts(model, parent), write=file.add)
            file.shares.update(sharing.shares)
            file.input_first.update(sharing.input_first)

    def _gradients(self, name: str, kinds: tuple[Kind, ...]) -> None:
        import torch

        from search_spaces.statistics.gradients import collect_gradients

        (model, reader), digest = self._live(name), self._digests[name]
        weights = stored_parts(model, self._given.parents[name])
        found = collect_gradients(model, reader.losses, weights=weights, outputs="output_gram" in kinds)
        if "fisher" in kinds:
            self._store.write(digest, "fisher", found.fisher, _own(found.fisher))
        if "output_gram" in kinds:
            self._store.write(digest, "output_gram", found.output_grams, found.output_shares)
        if "sensitivity" in kinds:
            distance = torch.tensor([self._distances[name]])
            pairs = {weight: torch.cat([alpha, distance]) for weight, alpha in found.sensitivity.items()}
            self._store.write(digest, "sensitivity", pairs, _own(pairs), self._together)

    def _moments(self, name: str) -> None:
        from search_spaces.statistics.moments import read_moments

        known = self._given.parents[name]
        with self._store.writing(self._digests[name], "moments", 2 * len(known.names)) as file:
            for weight, moment in read_moments(Path(self._given.moments[name])):
                if weight in known:
                    file.add(weight, moment)
                    file.shares[weight] = weight

    def _merged_grams(self) -> None:
        from search_spaces.live.layer_by_layer import collect_merged_grams

        first = next(iter(self._readers))
        collect_merged_grams(
            self._given.become(first),
            self._given.parents,
            self._readers,
            store=self._store,
            digests=self._digests,
        )

    def _live(self, name: str) -> tuple[nn.Module, PassageReader]:
        """Return a parent, alive, and its reader: to write, others may have taken its place in the module."""
        reader = self._readers[name]
        return self._given.become(name), reader

    @cached_property
    def _readers(self) -> dict[str, PassageReader]:
        return {name: self._given.reader(name, self._owners) for name in self._digests}

    @cached_property
    def _distances(self) -> dict[str, float]:
        """Parent -> Σ over the others of the mean distance of its logits from theirs, on what they read."""
        said: dict[str, dict[str, Tensor]] = {}  # reader -> parent -> (n_passages, n_vocabulary)
        for name in self._readers:
            model = self._given.become(name)
            for other, reader in self._readers.items():
                said.setdefault(other, {})[name] = reader.logits_after_prompts(model)
        return {
            name: sum(float(_distance(said[other][name], said[other][other])) for other in said if other != name)
            for name in self._readers
        }


def needed_bytes(parent: Checkpoint, kinds: Sequence[str]) -> int:
    """Return what collecting some kinds takes at most beside a live model, of one parent at a time."""
    import torch

    from search_spaces.layers.architecture import module_of
    from search_spaces.statistics.needs import gram_needs

    with torch.device("meta"):
        grams = gram_needs(module_of(parent.config)).memory_bytes if any("gram" in kind for kind in kinds) else 0
    weights = sum(4 * math.prod(parent.shape(name)) for name in parent.names)
    return max(grams, weights if OF_GRADIENTS & set(kinds) else 0)  # squares of gradients are summed in float32


def stored_parts(model: nn.Module, parent: Checkpoint) -> dict[str, tuple[Part, ...]]:
    """Return parameter -> the tensors in it, as an opened parent names them."""
    from search_spaces.live.file_names import FileNames

    names = FileNames(model, parent)
    return {key: names.of(key, weight) for key, weight in model.state_dict().items()}


def _own(tensors: Mapping[str, object]) -> dict[str, str]:
    return {name: name for name in tensors}


def _distance(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    lengths: torch.Tensor = (one - other).norm(dim=-1)
    return lengths.mean()
