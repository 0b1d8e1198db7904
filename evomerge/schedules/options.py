"""The section `schedule` of a campaign file: each schedule's options and what they build; which optimisers it suits.

Nothing else is loaded before `build`: a campaign file is checked without numpy.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

from pydantic import BaseModel, BeforeValidator, Field

from evomerge.fields import SECTION
from evomerge.kinds import checked
from evomerge.wording import did_you_mean, in_words, mismatch, refuse

if TYPE_CHECKING:
    from evomerge.schedules.all_items import AllItems
    from evomerge.schedules.halving import Halving
    from evomerge.schedules.protocol import Ingredients
    from evomerge.schedules.screen import Screen

Share: TypeAlias = Annotated[float, Field(strict=True, allow_inf_nan=False, gt=0, lt=1)]


def _read_after_a_screen(value: object) -> object:
    return _read(value, ("all_items", "halving"))


class AllItemsConfig(BaseModel):
    """Every candidate answers everything at once."""

    model_config = SECTION

    kind: Literal["all_items"] = "all_items"

    def build(self, given: Ingredients) -> AllItems:
        """Return the schedule."""
        from evomerge.schedules.all_items import AllItems

        return AllItems(given.budget)


class HalvingConfig(BaseModel):
    """The better part of every generation goes on to twice the items, ranked by means or by `reduced`'s estimator."""

    model_config = SECTION

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

    model_config = SECTION

    kind: Literal["screen"]
    keep: Share = 0.5
    """The share of a generation that goes on, those that agree best."""
    prompts: Annotated[int, Field(strict=True, ge=1, le=256)] = 64
    """Search items whose prompts are used; objectives, and the tasks of one, have the same share. The expert for a
    task is its objective's `expert`; where that is left out, the parent that differs most from the others on it."""
    then: Annotated[
        AllItemsConfig | HalvingConfig,
        BeforeValidator(_read_after_a_screen, json_schema_input_type=str | AllItemsConfig | HalvingConfig),
    ] = AllItemsConfig()
    """The schedule of those who go on: all_items or halving."""

    def build(self, given: Ingredients) -> Screen:
        """Return the schedule."""
        from evomerge.schedules.screen import Screen

        assert given.screening is not None
        screening = given.screening
        then = self.then.build(given)
        return Screen(given.archive, screening.budget, screening.divergence, keep=self.keep, then=then)


_KINDS: Mapping[str, type[AllItemsConfig] | type[HalvingConfig] | type[ScreenConfig]] = MappingProxyType(
    {"all_items": AllItemsConfig, "halving": HalvingConfig, "screen": ScreenConfig}
)


def _read(value: object, kinds: tuple[str, ...]) -> AllItemsConfig | HalvingConfig | ScreenConfig:
    if isinstance(value, AllItemsConfig | HalvingConfig | ScreenConfig):
        return value
    value = {"kind": value} if isinstance(value, str) else value
    if not isinstance(value, dict):
        refuse([mismatch("a mapping", in_words(value))])
    kind = value.get("kind", "all_items")
    if kind not in kinds:
        refuse([mismatch(f"one of {', '.join(kinds)}", in_words(kind), did_you_mean(kind, kinds), at=["kind"])])
    return checked(_KINDS[kind], {"kind": kind, **value})


def _read_any(value: object) -> AllItemsConfig | HalvingConfig | ScreenConfig:
    return _read(value, tuple(_KINDS))


ScheduleConfig: TypeAlias = Annotated[
    AllItemsConfig | HalvingConfig | ScreenConfig,
    BeforeValidator(_read_any, json_schema_input_type=str | AllItemsConfig | HalvingConfig | ScreenConfig),
]
