"""Paths through the parents' layers, as the section `space` of a campaign file describes them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, BeforeValidator, Field, field_validator
from pydantic_core import InitErrorDetails

from evomerge.config.errors import did_you_mean, in_words, mismatch, refuse
from evomerge.config.sections import SECTION, Count, Text, Whole
from search_spaces.flow import SAFE_PRODUCT, Flow
from search_spaces.layer_path import MERGED

Bounds: TypeAlias = tuple[float, float]


def _as_bounds(value: object) -> Bounds:
    """Read bounds of factors, with 1 between them."""
    if isinstance(value, list | tuple) and len(value) == 2 and all(_is_number(v) for v in value):
        low, high = float(value[0]), float(value[1])
        if 0 < low <= 1 <= high < math.inf and low < high:
            return low, high
    refuse([mismatch("[low, high] with 0 < low <= 1 <= high", in_words(value))])


def _as_scales(value: object) -> Bounds | Literal[False]:
    return False if value is False else _as_bounds(value)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


FromZero: TypeAlias = Annotated[Whole, Field(ge=0)]
Product: TypeAlias = Annotated[Bounds, BeforeValidator(_as_bounds, json_schema_input_type=Bounds)]
Scales: TypeAlias = Annotated[
    Bounds | Literal[False], BeforeValidator(_as_scales, json_schema_input_type=Bounds | Literal[False])
]


class LayerFlowConfig(BaseModel):
    """Which layers of which parents a token runs through; the weights stay as they are."""

    model_config = SECTION

    kind: Literal["layer_flow"] = "layer_flow"
    sources: tuple[Text, ...] = ()
    """The parents whose layers can be run, in the order in which they are laid out; left out: all parents. In a joint
    space `merged` is one of them, and left out it comes first."""
    repeats: Count = 1
    """How often the list of all layers is laid out; 1: every layer can be run once."""
    window: FromZero = 0
    """How many places of that list a layer can move; 0 keeps the order."""
    scales: Scales = (0.8, 1.25)
    """Bounds of the factor on the hidden state when it enters a layer, with 1 between them; false: no such factors."""
    scale_product: Product = SAFE_PRODUCT
    """Bounds of the product of these factors along a path, inside [0.25, 4]: an export folds them into the weights,
    whose rounding allows no more."""
    max_depth: Count | None = None
    """Layers of the longest path, frozen ones included; left out: as long as the list."""
    frozen_prefix: FromZero = 0
    """How many of its first layers every path begins with; no other parent's first layers can be run then."""
    frozen_suffix: FromZero = 0
    """How many of its last layers every path ends with, likewise."""
    frozen_from: Text | None = None
    """Whose layers those are; left out: the first source's."""
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
        return Flow(
            repeats=self.repeats,
            window=self.window,
            scales=self.scales or None,
            product=self.scale_product,
            max_depth=self.max_depth,
            frozen_prefix=self.frozen_prefix,
            frozen_suffix=self.frozen_suffix,
            frozen_from=self.frozen_from,
        )

    def problems(self, names: Sequence[str], *, joint: bool, at: Sequence[str]) -> list[InitErrorDetails]:
        """Return what does not suit the campaign's other keys.

        Args:
            names: of every checkpoint, the base included.
            joint: whether the merged model's layers can be run too.
            at: the way to this section from `space`.
        """
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
