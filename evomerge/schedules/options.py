"""The section `schedule` of a campaign file: each schedule's options and what they build.

Nothing else is loaded before `build`: a campaign file is checked without numpy.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

from pydantic import BaseModel, Field, PlainValidator, SerializeAsAny, ValidationInfo, field_validator

from evomerge.fields import SECTION
from evomerge.kinds import Kinds
from evomerge.plugins import PluginError
from evomerge.wording import in_words, mismatch, refuse

if TYPE_CHECKING:
    from evomerge.schedules.all_items import AllItems
    from evomerge.schedules.halving import Halving
    from evomerge.schedules.own_items import OwnItems
    from evomerge.schedules.protocol import Schedule, ScheduleContext
    from evomerge.schedules.screen import Screen

Share: TypeAlias = Annotated[float, Field(strict=True, allow_inf_nan=False, gt=0, lt=1)]


class ScheduleOptions(BaseModel):
    """Who answers which items: the options of one kind of schedule, and how it is built."""

    model_config = SECTION

    kind: str

    @property
    def own_items(self) -> bool:
        """Whether candidates answer different items, each `budget.items` of its own."""
        return False

    @property
    def stops_early(self) -> bool:
        """Whether some candidates answer fewer items than others."""
        return True

    def build(self, given: ScheduleContext) -> Schedule:
        """Return the schedule."""
        raise NotImplementedError


class AllItemsConfig(ScheduleOptions):
    """Every candidate answers everything at once."""

    kind: Literal["all_items"] = "all_items"

    @property
    def stops_early(self) -> bool:
        """Nobody is stopped."""
        return False

    def build(self, given: ScheduleContext) -> AllItems:
        """Return the schedule."""
        from evomerge.schedules.all_items import AllItems

        return AllItems(given.budget)


class OwnItemsConfig(ScheduleOptions):
    """Every candidate answers `budget.items` items of its own; together they answer all. The default with bayes."""

    kind: Literal["own_items"] = "own_items"
    landmarks: Annotated[int, Field(strict=True, ge=1)] | Literal["all"] = 4
    """How many candidates' items each landmark answers, or all: it says how hard items are. One that a constraint is
    measured by (at_least: PARENT) always answers all."""

    @field_validator("landmarks", mode="before")
    @classmethod
    def _are_all_or_several(cls, landmarks: object) -> object:
        if landmarks != "all" and not (
            isinstance(landmarks, int) and not isinstance(landmarks, bool) and landmarks > 0
        ):
            refuse([mismatch("all, or a whole number above 0", in_words(landmarks))])
        return landmarks

    @property
    def own_items(self) -> bool:
        """They do."""
        return True

    @property
    def stops_early(self) -> bool:
        """Nobody is stopped."""
        return False

    def build(self, given: ScheduleContext) -> OwnItems:
        """Return the schedule."""
        from evomerge.schedules.own_items import OwnItems

        return OwnItems(given, landmarks=None if self.landmarks == "all" else self.landmarks)


class HalvingConfig(ScheduleOptions):
    """The better part of every generation goes on to twice the items, ranked by means or by `reduced`'s estimator."""

    kind: Literal["halving"] = "halving"
    first: Share = 1 / 8
    """The share of a candidate's items that everybody answers, at least one item of every task."""
    keep: Share = 0.5
    """The share of a generation that goes on to twice the items each time."""

    def build(self, given: ScheduleContext) -> Halving:
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


def _read_then(value: object, info: ValidationInfo) -> ScheduleOptions:
    then = SCHEDULES.read(value, info)
    if isinstance(then, ScreenConfig):
        others = ", ".join(name for name in SCHEDULES.names if name != "screen")
        refuse([mismatch(f"one of {others}", "'screen'", at=["kind"])])
    return then


_Then: TypeAlias = Annotated[
    SerializeAsAny[ScheduleOptions],
    PlainValidator(_read_then, json_schema_input_type=str | AllItemsConfig | OwnItemsConfig | HalvingConfig),
]


class ScreenConfig(ScheduleOptions):
    """Before a generation answers any item: how well each candidate agrees with the experts, without right answers."""

    kind: Literal["screen"] = "screen"
    keep: Share = 0.5
    """The share of a generation that goes on, those that agree best."""
    prompts: Annotated[int, Field(strict=True, ge=1, le=256)] = 64
    """Search items whose prompts are used; objectives, and the tasks of one, have the same share. The expert for a
    task is its objective's `expert`; where that is left out, the parent that differs most from the others on it."""
    then: _Then = AllItemsConfig()
    """The schedule of those who go on: all_items, own_items or halving."""

    @property
    def own_items(self) -> bool:
        """Whether those who go on answer different items."""
        return self.then.own_items

    def build(self, given: ScheduleContext) -> Screen:
        """Return the schedule."""
        from evomerge.schedules.screen import Screen

        assert given.screening is not None
        screening = given.screening
        then = self.then.build(given)
        return Screen(given.archive, screening.budget, screening.divergence, keep=self.keep, then=then)


def _no_options(kind: str, found: object) -> type[ScheduleOptions]:
    raise PluginError("a subclass of evomerge.schedules.ScheduleOptions", f"{kind}, which is {in_words(found)}")


SCHEDULES: Kinds[ScheduleOptions] = Kinds(
    "evomerge.schedules",
    MappingProxyType(
        {
            "all_items": "evomerge.schedules.options:AllItemsConfig",
            "own_items": "evomerge.schedules.options:OwnItemsConfig",
            "halving": "evomerge.schedules.options:HalvingConfig",
            "screen": "evomerge.schedules.options:ScreenConfig",
        }
    ),
    ScheduleOptions,
    _no_options,
    default="all_items",
)
