"""From the `racing` section of a campaign file to the rules of its races."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from evomerge.assembly.parts import Parts
from evomerge.campaign.racing import RacingPlan
from evomerge.campaign.screen import ScreenPlan
from fitness.errors import FitnessError
from fitness.racing import RaceRules

# Of its items, before a candidate is looked at first, where the campaign does not say.
FIRST_SHARE = 1 / 8


def build_race_rules(parts: Parts) -> RaceRules | None:
    """Return how a campaign's candidates race; None where every candidate answers every item."""
    config, items = parts.config, parts.search_budget.items
    if config.racing is None or items is None:
        return None
    weights = {objective.name: objective.weight for objective in parts.objectives}
    if len(weights) == 1:
        weights = dict.fromkeys(weights, 1.0)
    of_mean = config.optimiser.maximises_mean or len(weights) == 1
    task_of = parts.fitness.task_of
    n_tasks = len({task_of[item] for item in items})
    return RaceRules(
        parts.objectives,
        task_of,
        weights=weights if of_mean else None,
        delta=config.racing.delta,
        first_look=config.racing.first_look or max(n_tasks, math.ceil(FIRST_SHARE * len(items))),
    )


def build_racing_plan(parts: Parts) -> RacingPlan | None:
    """Return who need not answer every item; None where everybody does."""
    rules, config = build_race_rules(parts), parts.config.racing
    if rules is None or config is None:
        return None
    items = parts.search_budget.items or ()
    n_items = len(items)
    first_of_task = {rules.task_of[item]: place for place, item in reversed([*enumerate(items, start=1)])}
    least = max(first_of_task.values())  # a rung tells something of every task
    sizes = {max(least, math.ceil(share * n_items)) for share in config.rungs}
    all_items = parts.fitness.splits.items["search"]
    if config.rotate is not None:
        _check_every_turn(all_items, n_items, len(first_of_task), rules.task_of)
    return RacingPlan(
        rules,
        rungs=tuple(sorted(size for size in sizes if size < n_items)),
        keep=config.keep,
        rotate=config.rotate,
        all_items=all_items,
        screen=_screen_plan(parts),
    )


def _screen_plan(parts: Parts) -> ScreenPlan | None:
    screening, racing = parts.screening, parts.config.racing
    if screening is None or racing is None or racing.screen is None:
        return None
    return ScreenPlan(screening.budget, screening.divergence, racing.screen.keep)


def _check_every_turn(items: Sequence[str], n_items: int, n_tasks: int, task_of: Mapping[str, str]) -> None:
    """Check that there are other items, and that all that come into use tell something of every task."""
    if n_items >= len(items):
        raise FitnessError(f"racing.rotate: expected budget.items below the {len(items)} search items, found {n_items}")
    for turn in range(len(items) // math.gcd(len(items), n_items)):
        found = {task_of[items[(turn * n_items + i) % len(items)]] for i in range(n_items)}
        if len(found) < n_tasks:
            raise FitnessError(
                f"racing.rotate: expected budget.items enough for an item of every task in turn {turn}, found "
                f"{len(found)} of {n_tasks} tasks: raise budget.items"
            )
