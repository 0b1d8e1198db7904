"""The section `schedule` of a campaign file: each schedule's options and what they build; which optimisers it suits.

Nothing else is loaded before `build`: a campaign file is checked without numpy.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag

if TYPE_CHECKING:
    from evomerge.schedules.all_items import AllItems
    from evomerge.schedules.halving import Halving
    from evomerge.schedules.protocol import Ingredients
    from evomerge.schedules.screen import Screen

OPTIONS = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, hide_input_in_errors=True)
Share: TypeAlias = Annotated[float, Field(strict=True, allow_inf_nan=False, gt=0, lt=1)]


def as_kind(value: object) -> object:
    """Read a schedule written as its kind alone."""
    return {"kind": value} if isinstance(value, str) else value


def kind_of(value: object) -> object:
    """Return the kind of a schedule's options, validated or not."""
    return value.get("kind", "all_items") if isinstance(value, dict) else getattr(value, "kind", None)


class AllItemsConfig(BaseModel):
    """Every candidate answers everything at once."""

    model_config = OPTIONS

    kind: Literal["all_items"] = "all_items"

    def build(self, given: Ingredients) -> AllItems:
        """Return the schedule."""
        from evomerge.schedules.all_items import AllItems

        return AllItems(given.budget)


class HalvingConfig(BaseModel):
    """The better part of every generation goes on to twice the items, ranked by means or by `reduced`'s estimator."""

    model_config = OPTIONS

    kind: Literal["halving"]
    first: Share = 1 / 8
    """The share of a candidate's items that everybody answers, at least one item of every task."""
    keep: Share = 0.5
    """The share of a generation that goes on to twice the items each time."""

    def build(self, given: Ingredients) -> Halving:
        """Return the schedule."""
        from evomerge.schedules.halving import Halving

        return Halving(given, self.sizes(given.items, given.task_of), keep=self.keep)

    def sizes(self, items: Sequence[str], task_of: Mapping[str, str]) -> tuple[int, ...]:
        """Return after how many items a generation is cut, ascending; the last one is the number of all items."""
        n_items = len(items)
        first_of_task = {task_of[item]: place for place, item in reversed([*enumerate(items, start=1)])}
        first = max(math.ceil(self.first * n_items), *first_of_task.values())
        sizes = []
        while first < n_items:
            sizes.append(first)
            first *= 2
        return (*sizes, n_items)


class ScreenConfig(BaseModel):
    """Before a generation answers any item: how well each candidate agrees with the experts, without right answers."""

    model_config = OPTIONS

    kind: Literal["screen"]
    keep: Share = 0.5
    """The share of a generation that goes on, those that agree best."""
    prompts: Annotated[int, Field(strict=True, ge=1, le=256)] = 64
    """Search items whose prompts are used; objectives, and the tasks of one, have the same share. The expert for a
    task is its objective's `expert`; where that is left out, the parent that differs most from the others on it."""
    then: Annotated[
        Annotated[AllItemsConfig, Tag("all_items")] | Annotated[HalvingConfig, Tag("halving")],
        Discriminator(kind_of),
        BeforeValidator(as_kind, json_schema_input_type=str | AllItemsConfig | HalvingConfig),
    ] = AllItemsConfig()
    """The schedule of those who go on: all_items or halving."""

    def build(self, given: Ingredients) -> Screen:
        """Return the schedule."""
        from evomerge.schedules.screen import Screen

        assert given.screening is not None
        screening = given.screening
        then = self.then.build(given)
        return Screen(given.archive, screening.budget, screening.divergence, keep=self.keep, then=then)


ScheduleConfig: TypeAlias = Annotated[
    Annotated[AllItemsConfig, Tag("all_items")]
    | Annotated[HalvingConfig, Tag("halving")]
    | Annotated[ScreenConfig, Tag("screen")],
    Discriminator(kind_of),
    BeforeValidator(as_kind, json_schema_input_type=str | AllItemsConfig | HalvingConfig | ScreenConfig),
]

# Optimiser -> why each of its candidates has to answer everything at once.
_NEEDS_EVERY_ANSWER: Mapping[str, str] = MappingProxyType(
    {
        "m2n2": "its competition compares candidates item by item",
        "map": "its surrogates are fitted to values that are equally exact",
        "nested_map": "its surrogates are fitted to values that are equally exact",
        "greedy_soup": "every soup is compared with the last one",
        "nelder_mead": "its steps follow single values",
        "pattern_search": "its steps follow single values",
        "direct": "its steps follow single values",
        "moead": "it learns from one candidate at a time, not from a generation",
        "g3pcx": "it learns from one candidate at a time, not from a generation",
    }
)


def why_every_answer(optimiser: str, options: Mapping[str, Any]) -> str:
    """Return why an optimiser takes no schedule but all_items; empty where it takes others.

    Random search takes them: it waits for nobody, so that all of its candidates are one generation.
    """
    if options.get("lq") is True:
        return "its surrogate is fitted to values that are equally exact"
    return _NEEDS_EVERY_ANSWER.get(optimiser, "")
