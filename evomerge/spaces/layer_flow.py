"""Paths through the parents' layers: the section, and the space that it describes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import BeforeValidator, Field, field_validator
from pydantic_core import InitErrorDetails

from evomerge.fields import Count, Flag, Layers, Text, is_number
from evomerge.spaces.options import Ingredients, SpaceOptions
from evomerge.wording import did_you_mean, in_words, mismatch, refuse
from search_spaces.errors import SpaceError
from search_spaces.recipes.layer_path import MERGED, Half
from search_spaces.spaces.flow import SAFE_PRODUCT, Flow

if TYPE_CHECKING:
    from search_spaces.parents.checkpoint import Checkpoint
    from search_spaces.spaces.space import SearchSpace

Bounds: TypeAlias = tuple[float, float]


def _as_bounds(value: object) -> Bounds:
    if isinstance(value, list | tuple) and len(value) == 2 and all(is_number(v) for v in value):
        low, high = float(value[0]), float(value[1])
        if 0 < low <= 1 <= high < math.inf and low < high:
            return low, high
    refuse([mismatch("[low, high] with 0 < low <= 1 <= high", in_words(value))])


def _as_scales(value: object) -> Bounds | Literal[False]:
    return False if value is False else _as_bounds(value)


Product: TypeAlias = Annotated[Bounds, BeforeValidator(_as_bounds, json_schema_input_type=Bounds)]
Scales: TypeAlias = Annotated[
    Bounds | Literal[False], BeforeValidator(_as_scales, json_schema_input_type=Bounds | Literal[False])
]


class LayerFlow(SpaceOptions):
    """Which layers of which parents a token runs through; the weights stay as they are."""

    has_paths: ClassVar[bool] = True
    stacked: ClassVar[bool] = True
    together: ClassVar[int] = 16  # candidates are paths over the same layers

    kind: Literal["layer_flow"] = "layer_flow"
    sources: tuple[Text, ...] = ()
    """The parents whose layers can be run, in the order in which they are laid out; left out: all parents. In a joint
    space `merged` is one of them, and left out it comes first."""
    repeats: Annotated[Count, Field(le=100)] = 1
    """How often the list of all layers is laid out; 1: every layer can be run once."""
    window: Layers = 0
    """How many places of that list a layer can move; 0 keeps the order."""
    scales: Scales = (0.8, 1.25)
    """Bounds of the factor on the hidden state when it enters a layer, with 1 between them; false: no such factors."""
    scale_product: Product = SAFE_PRODUCT
    """Bounds of the product of these factors along a path, inside [0.25, 4]: an export folds them into the weights,
    whose rounding allows no more."""
    max_depth: Annotated[Layers, Field(ge=1)] | None = None
    """Layers of the longest path, frozen ones included; left out: as long as the list."""
    frozen_prefix: Layers = 0
    """How many of its first layers every path begins with; no other parent's first layers can be run then."""
    frozen_suffix: Layers = 0
    """How many of its last layers every path ends with, likewise."""
    frozen_from: Text | None = None
    """Whose layers those are; left out: the first source's."""
    halves: Flag = False
    """Whether attention and MLP of each layer are in or out each by itself. A layer without one of them stays in the
    export, with zeros; one without both leaves it."""
    embeddings_from: Text | None = None
    """What gives embeddings, final norm and head; left out: the first source."""

    @field_validator("sources")
    @classmethod
    def _are_different(cls, sources: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(sources)) < len(sources):
            refuse([mismatch("each source once", in_words(sources))])
        return sources

    @field_validator("scale_product")
    @classmethod
    def _is_safe(cls, product: Bounds) -> Bounds:
        low, high = SAFE_PRODUCT
        if not low <= product[0] <= product[1] <= high:
            refuse([mismatch(f"[low, high] inside [{low:g}, {high:g}]", in_words(product))])
        return product

    @property
    def flow(self) -> Flow:
        """The paths that are searched."""
        same = {"repeats", "window", "max_depth", "frozen_prefix", "frozen_suffix", "frozen_from", "halves"}
        return Flow(scales=self.scales or None, product=self.scale_product, **self.model_dump(include=same))

    def problems(self, parents: Sequence[str] | None, base: Sequence[str] | None) -> list[InitErrorDetails]:
        """Return what does not suit a campaign's checkpoints."""
        return [] if parents is None else self.source_problems([*(base or ()), *parents], joint=False)

    def source_problems(self, names: Sequence[str], *, joint: bool, at: Sequence[str] = ()) -> list[InitErrorDetails]:
        """Return which sources and frozen layers there cannot be; joint, the merged model's layers can be run too."""
        known = [MERGED, *names] if joint else list(names)
        told = {"frozen_from": self.frozen_from, "embeddings_from": self.embeddings_from}
        places: list[tuple[list[str | int], str | None]] = [([key], name) for key, name in told.items()]
        places += [(["sources", i], name) for i, name in enumerate(self.sources)]
        found = [
            mismatch(f"one of {', '.join(known)}", in_words(name), did_you_mean(name, known), at=[*at, *place])
            for place, name in places
            if name is not None and name not in known
        ]
        if joint and self.sources and MERGED not in self.sources:
            found.append(mismatch(f"{MERGED} among them", in_words(self.sources), at=[*at, "sources"]))
        frozen = self.frozen_prefix + self.frozen_suffix
        if self.max_depth is not None and self.max_depth <= frozen:
            expected = f"more than the {frozen} frozen layers"
            found.append(mismatch(expected, str(self.max_depth), at=[*at, "max_depth"]))
        return found

    def build(self, given: Ingredients) -> SearchSpace[Any]:
        """Return the space of paths."""
        from search_spaces.spaces.layer_flow import LayerFlowSpace

        self.check_scales(given.parents[given.base])
        return LayerFlowSpace(
            given.sources,
            given.base,
            depths={name: given.parents[name].architecture.depth for name in given.sources},
            flow=self.flow,
            sources=self.sources or given.names,
            embeddings_from=self.embeddings_from,
            dtype=given.dtype,
            seed=given.seed,
            tokenizer=given.tokenizer,
            outlets=self.outlets(given.parents[given.base]),
        )

    def outlets(self, base: Checkpoint) -> Mapping[Half, Sequence[str]]:
        """Return through what the halves of layers write, where paths are of half layers."""
        from search_spaces.layers.halves import half_outlets

        if not self.halves:
            return {}
        try:
            return half_outlets(base)
        except SpaceError as error:
            raise SpaceError(f"space.halves: expected false, found true: {error}") from error

    def check_scales(self, base: Checkpoint) -> None:
        """Check that an export can do without the scales."""
        from search_spaces.layers.scale_folding import check_foldable

        if not self.scales:
            return
        try:
            check_foldable(base)
        except SpaceError as error:
            raise SpaceError(f"space.scales: expected false, found {list(self.scales)}: {error}") from error
