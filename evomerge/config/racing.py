"""The section `racing` of a campaign file: which candidates need not answer every item."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, TypeAlias

from pydantic import BaseModel, Field, field_validator
from pydantic_core import InitErrorDetails

from evomerge.config.errors import in_words, mismatch, refuse
from evomerge.config.objectives import ObjectiveConfig
from evomerge.config.optimisers import OptimiserConfig
from evomerge.config.sections import SECTION, BudgetConfig, Count, Real, Whole

InnerShare: TypeAlias = Annotated[Real, Field(gt=0, lt=1)]
# Optimisers that do not ask for the next generation when the last one is told.
_WITHOUT_GENERATIONS = ("random", "moead", "g3pcx")
# Optimisers that remember no scores, or a population alone.
_MAY_ROTATE = ("cma_es", "nsga2", "nsga3", "unsga3", "spea2", "sms_emoa", "ga")
# Optimiser -> why nobody may be stopped.
_NEEDS_EVERY_ANSWER: Mapping[str, str] = MappingProxyType(
    {
        "m2n2": "its competition compares candidates item by item",
        "map": "its surrogates are fitted to values that are equally exact",
        "nested_map": "its surrogates are fitted to values that are equally exact",
        "greedy_soup": "every soup is compared with the last one",
        "nelder_mead": "its steps follow single values",
        "pattern_search": "its steps follow single values",
        "direct": "its steps follow single values",
    }
)


class ScreenConfig(BaseModel):
    """Before a generation answers any item: how well each candidate agrees with the experts, without right answers."""

    model_config = SECTION

    keep: Annotated[Real, Field(gt=0, le=1)] = 0.5
    """The share of a generation that goes on, those that agree best."""
    prompts: Annotated[Whole, Field(ge=1, le=256)] = 64
    """Search items whose prompts are used; objectives, and the tasks of one, have the same share. The expert for a
    task is its objective's `expert`; where that is left out, the parent that differs most from the others on it."""


class RacingConfig(BaseModel):
    """Candidates that cannot catch up with the front, or with the better half of a generation, are stopped early."""

    model_config = SECTION

    delta: Annotated[Real, Field(gt=0, lt=1)] = 0.05
    """The chance that a candidate which no rival beats is stopped, at most."""
    first_look: Count | None = None
    """Items before a candidate is looked at first, then whenever their number has doubled; left out: an eighth of its
    items, at least one per task."""
    rungs: tuple[InnerShare, ...] = ()
    """Shares of a candidate's items after which the better part of a generation goes on, as [0.25, 0.5]; left out:
    none. For optimisers with generations."""
    keep: Annotated[Real, Field(gt=0, le=1)] = 0.5
    """The share of a generation that goes on from a rung."""
    screen: ScreenConfig | None = None
    """A rung before the first, without right answers, as {} or {keep: 0.5, prompts: 64}; left out: none. For optimisers
    with generations."""
    rotate: Count | None = None
    """Generations after which the next budget.items search items take the place of a candidate's; left out: never."""

    @field_validator("rungs")
    @classmethod
    def _ascend(cls, rungs: tuple[float, ...]) -> tuple[float, ...]:
        if list(rungs) != sorted(set(rungs)):
            refuse([mismatch("ascending shares", in_words(rungs))])
        return rungs


def racing_problems(racing: RacingConfig, optimiser: OptimiserConfig) -> list[InitErrorDetails]:
    """Return what is wrong with racing under an optimiser."""
    kind = optimiser.kind
    if kind in _NEEDS_EVERY_ANSWER:
        return [mismatch(f"no such section with optimiser {kind}", "a race", _NEEDS_EVERY_ANSWER[kind])]
    if kind not in _WITHOUT_GENERATIONS and optimiser.options.get("lq") is not True:
        return []
    hint = "leave it out, or take an optimiser with generations (cma_es, nsga2, ...)"
    problems = []
    if racing.rungs:
        problems.append(mismatch(f"no rungs with optimiser {kind}", in_words(racing.rungs), hint, at=["rungs"]))
    if racing.screen is not None:
        problems.append(mismatch(f"no screen with optimiser {kind}", "one", hint, at=["screen"]))
    return problems


def rotation_problems(
    racing: RacingConfig, optimiser: OptimiserConfig, budget: BudgetConfig, objectives: Sequence[ObjectiveConfig]
) -> list[InitErrorDetails]:
    """Return why the items cannot change."""
    if racing.rotate is None:
        return []
    expected = hint = ""
    if optimiser.kind not in _MAY_ROTATE or optimiser.options.get("lq") is True:
        expected = f"no rotation with optimiser {optimiser.kind}"
        hint = f"it remembers scores on the first items; take one of {', '.join(_MAY_ROTATE)}"
    elif budget.items is None:
        expected, hint = "budget.items beside rotate", "the next items are those that a candidate is not scored on"
    elif any(objective.bound is not None and objective.bound.landmark for objective in objectives):
        expected, hint = "no rotation with at_least of a checkpoint", "it is measured once; write a number for at_least"
    return [mismatch(expected, in_words(racing.rotate), hint, at=["rotate"])] if expected else []
