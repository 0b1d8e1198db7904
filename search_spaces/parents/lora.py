"""A LoRA adapter on a checkpoint: each of its tensors finds its place there, or the adapter is refused."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from search_spaces.architecture.regions import Region
from search_spaces.errors import SpaceError
from search_spaces.parents.adapter_config import MERGE_FIRST
from search_spaces.parents.adapter_files import AdapterFiles
from search_spaces.parents.adapter_places import AdapterPlaces, Spot
from search_spaces.parents.checkpoint_files import LazyTensor
from search_spaces.parents.cut_tensor import CutTensor
from search_spaces.parents.low_rank_update import (
    AdaptedTensor,
    LowRankUpdate,
    Patch,
    StackedUpdate,
    TokenRows,
)

if TYPE_CHECKING:
    from search_spaces.parents.checkpoint import Checkpoint

_FACTOR = re.compile(
    r"(?P<module>.+?)(?P<inner>(\.base_layer|\.token_adapter)*)\.lora_(?P<embedding>embedding_)?(?P<side>[AB])(\.default)?(\.weight)?"
)
_TOKENS = re.compile(r"(?P<module>.+?)(\.token_adapter)?\.trainable_tokens_delta(\.default)?")
_REPLACEMENT = re.compile(r"\.(token_adapter|base_layer|original_module|modules_to_save(\.default)?)(?=\.)")
_ORIGINAL = ".original_module."


@dataclass(frozen=True)
class Adapter:
    """An adapter whose tensors have found their places in a checkpoint.

    Attributes:
        files: what it was read from.
        updates: checkpoint tensor -> its low-rank update.
        patches: checkpoint tensor -> low-rank updates of parts of it (experts in one tensor).
        replaced: checkpoint tensor -> what stands in its place (`modules_to_save`, biases, resized embeddings).
        rows: checkpoint tensor -> rows of its own for some tokens, without the others (`trainable_token_indices`).
        saved: those replaced whose module is in `modules_to_save`.
        stacks: live module's parameter of three dimensions -> its experts' updates, which are in updates and patches.
    """

    files: AdapterFiles
    updates: Mapping[str, LowRankUpdate]
    replaced: Mapping[str, LazyTensor]
    patches: Mapping[str, tuple[Patch, ...]] = field(default_factory=dict)
    rows: Mapping[str, tuple[tuple[int, ...], LazyTensor]] = field(default_factory=dict)
    saved: frozenset[str] = frozenset()
    stacks: Mapping[str, StackedUpdate] = field(default_factory=dict)

    @property
    def changed(self) -> frozenset[str]:
        """The tensors that it changes."""
        return frozenset([*self.updates, *self.replaced, *self.patches, *self.rows])

    def applied(self, tensors: Mapping[str, LazyTensor], embedding: str | None) -> dict[str, LazyTensor]:
        """Return the adapted checkpoint's tensors.

        An adapted head begins as the token embedding where the base's file has no head.
        """
        result = {**tensors, **self.replaced}
        plain = dict(result)

        def before(name: str) -> LazyTensor:
            return plain[name if name in plain else embedding or name]

        changes = {name: (Patch(None, update),) for name, update in self.updates.items()}
        for name, patches in {**changes, **self.patches}.items():
            result[name] = AdaptedTensor(before(name), patches)
        return result | {name: TokenRows(before(name), *rows) for name, rows in self.rows.items()}


def match_adapter(files: AdapterFiles, base: Checkpoint) -> Adapter:
    """Return an adapter with every tensor at its place in the base.

    Raises:
        SpaceError: a tensor has no place there, or another shape; or it is none of a plain LoRA's.
    """
    match = _Match(files, base)
    factors: dict[tuple[str, int, bool], dict[str, LazyTensor]] = {}
    # What stands in a module's place wins over the module before it was resized.
    for name, tensor in sorted(files.tensors.items(), key=lambda item: _ORIGINAL not in item[0]):
        if found := _FACTOR.fullmatch(name):
            key = found["module"], found["inner"].count(".base_layer"), bool(found["embedding"])
            factors.setdefault(key, {})[found["side"]] = tensor
        elif found := _TOKENS.fullmatch(name):
            match.add_rows(found["module"], tensor)
        else:
            match.add_replacement(name, tensor)
    for (module, depth, of_embedding), pair in factors.items():
        match.add_factors(module, depth, pair, of_embedding=of_embedding)
    adapter = match.adapter
    if files.config.get("trainable_token_indices") and not adapter.rows:
        raise SpaceError(f"{files.directory}: trainable_token_indices: expected rows of these tokens, found none")
    both = sorted((adapter.updates.keys() | adapter.patches.keys()) & adapter.rows.keys())
    if both:
        raise SpaceError(f"{files.directory}: expected token rows or factors for {both[0]}, found both; {MERGE_FIRST}")
    return adapter


@dataclass(frozen=True)
class _Match:
    files: AdapterFiles
    base: Checkpoint
    updates: dict[str, LowRankUpdate] = field(default_factory=dict)
    patches: dict[str, list[Patch]] = field(default_factory=dict)
    replaced: dict[str, LazyTensor] = field(default_factory=dict)
    rows: dict[str, tuple[tuple[int, ...], LazyTensor]] = field(default_factory=dict)
    saved: set[str] = field(default_factory=set)
    stacks: dict[str, StackedUpdate] = field(default_factory=dict)

    @property
    def adapter(self) -> Adapter:
        patches = {name: tuple(found) for name, found in self.patches.items()}
        return Adapter(self.files, self.updates, self.replaced, patches, self.rows, frozenset(self.saved), self.stacks)

    @cached_property
    def places(self) -> AdapterPlaces:
        return AdapterPlaces.of(self.base)

    def add_rows(self, module: str, tensor: LazyTensor) -> None:
        """Take rows for some tokens."""
        tokens = self.files.tokens(module, tensor.shape[0])
        for spot in self._spots(f"{module}.weight"):
            table = self._original(spot.name).shape
            if tuple(tensor.shape[1:]) != tuple(table[1:]) or not all(0 <= token < table[0] for token in tokens):
                raise self._misfit(f"{module}.weight", (len(tokens), *tensor.shape[1:]), table)
            self.rows[spot.name] = (tokens, tensor)

    def add_replacement(self, name: str, tensor: LazyTensor) -> None:
        """Take what stands in a tensor's place."""
        own = _REPLACEMENT.sub("", name)
        saved = self.files.config.get("modules_to_save") or []
        for spot in self._spots(own):
            found = tensor if spot.region is None else CutTensor(tensor, spot.region)
            expected = self._base(spot.name).shape
            of_vocabulary = spot.name in (self.base.embedding, self.places.own_head)  # may have rows for new tokens
            fits = tuple(found.shape[1:]) == tuple(expected[1:]) if of_vocabulary else found.shape == expected
            if spot.within is not None or not fits:
                raise self._misfit(own, found.shape, expected)
            self.replaced[spot.name] = found
            if any(own == f"{module}.weight" or own.endswith(f".{module}.weight") for module in saved):
                self.saved.add(spot.name)

    def add_factors(self, module: str, depth: int, pair: Mapping[str, LazyTensor], *, of_embedding: bool) -> None:
        """Take a pair of factors.

        Args:
            module: as the adapter calls it.
            depth: how many of the module's other adapted parameters peft has wrapped around this one.
            pair: "A" and "B" -> factor.
            of_embedding: they are an embedding's.
        """
        targets = self.places.targeted(module, self.files.config.get("target_parameters") or [])
        named = f"{module}.{targets[-1 - depth] if depth < len(targets) else 'weight'}"
        if set(pair) != {"A", "B"}:
            raise self._error(f"lora_A and lora_B of {module}", f"only lora_{min(pair)}")
        if depth >= max(len(targets), 1):
            raise self._error("tensors of a plain LoRA adapter", f"factors {depth} layers within {module}")
        down, up = pair["A"], pair["B"]
        spots = self._spots(named)
        shape = self._shape(spots[0])
        n_experts = shape[0] if len(shape) == 3 else 1
        one_rank = len(down.shape) == len(up.shape) == 2 and down.shape[0] == up.shape[1]
        if not one_rank or down.shape[0] % n_experts:
            raise self._error(
                f"factors (rank, in) and (out, rank) of {module}",
                f"{down.shape} and {up.shape}; adapters of convolutions are not supported",
            )
        self.files.check_rank(module, down.shape[0] // n_experts)
        scale = self.files.scale(named if targets else module, down.shape[0] // n_experts)
        transposed = self._transposed(named, spots[0], (up.shape[0], down.shape[1]), of_embedding=of_embedding)
        for spot in spots:
            if len(shape) == 3:
                self._add_stack(spot, StackedUpdate(down, up, n_experts, module, scale, transposed), shape)
            elif spot.within is not None:
                update = LowRankUpdate(down, up, module, scale, transposed)
                self.patches.setdefault(spot.name, []).append(Patch(spot.within, update))
            else:
                update = LowRankUpdate(down, up, module, scale, transposed)
                self.updates[spot.name] = update if spot.region is None else update.within(spot.region)

    def _add_stack(self, spot: Spot, stack: StackedUpdate, shape: tuple[int, ...]) -> None:
        self.stacks[spot.key] = stack
        region = spot.region or Region(tuple(slice(0, size) for size in shape))
        if region.squeezed:
            self.updates[spot.name] = stack.of(region.box[0].start).within(region)
        else:
            self.patches[spot.name] = list(stack.patches(region))

    def _transposed(self, name: str, spot: Spot, sizes: tuple[int, int], *, of_embedding: bool) -> bool:
        """Return whether a weight is stored (in, out), given its sizes (out, in).

        peft decides per layer, and the layer tells: the flag of GPT-2's adapters does not hold for its head.
        """
        stored = True if of_embedding else self.places.stored_transposed(spot.key)
        flag = bool(self.files.config.get("fan_in_fan_out")) if stored is None else stored
        shape = self._shape(spot)
        for transposed in (flag, not flag):
            if shape[-2:] == (sizes[::-1] if transposed else sizes):
                return transposed
        raise self._misfit(name, sizes[::-1] if flag else sizes, shape)

    def _shape(self, spot: Spot) -> tuple[int, ...]:
        """Return the shape of the weight that the adapter means."""
        if spot.region is not None:
            return self.places.shape(spot.key)
        original = self._original(spot.name)
        return tuple((original if spot.within is None else CutTensor(original, spot.within)).shape)

    def _original(self, name: str) -> LazyTensor:
        return self.replaced[name] if name in self.replaced else self._base(name)

    def _base(self, name: str) -> LazyTensor:
        """Return the base's tensor; a tied head is the embedding."""
        return self.base.lazy(name if name in self.base else self.base.embedding or name)

    def _spots(self, name: str) -> tuple[Spot, ...]:
        spots = self.places.spots(name)
        if not spots and (not name.endswith((".weight", ".bias")) or ".lora_" in name):
            raise self._error("tensors of a plain LoRA adapter", name)
        if not spots:
            raise self._for_another_base(f"it changes {name}, which this base does not have")
        return spots

    def _misfit(self, name: str, found: Sequence[int], expected: Sequence[int]) -> SpaceError:
        name = name.removesuffix(".weight")
        return self._for_another_base(f"{name} is {tuple(expected)} here, but {tuple(found)} in the adapter")

    def _for_another_base(self, reason: str) -> SpaceError:
        trained_on = self.files.config.get("base_model_name_or_path") or "another model"
        return self._error("an adapter for this base", f"one for {trained_on}: {reason}")

    def _error(self, expected: str, found: str) -> SpaceError:
        return SpaceError(f"{self.files.directory}: expected {expected}, found {found}")
