"""What is wrong with a schedule beside the rest of a campaign file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic_core import InitErrorDetails

from evomerge.schedules import ScheduleOptions
from evomerge.wording import in_words, mismatch


def schedule_problems(schedule: ScheduleOptions, data: Mapping[str, Any]) -> list[InitErrorDetails]:
    """Return what is wrong with a schedule beside the sections that were read before it."""
    optimiser, budget, found = data.get("optimiser"), data.get("budget"), in_words(schedule.kind)
    if optimiser is not None:
        early = optimiser.needs_every_answer if schedule.stops_early else ""
        if reason := early or (optimiser.needs_same_items if schedule.own_items else ""):
            return [mismatch(f"all_items with optimiser {optimiser.kind}", found, reason)]
    if not schedule.own_items:
        if data.get("stages") or all(objective.signal is None for objective in data.get("objectives", ())):
            return []  # stages have schedules of their own
        hint = "nothing else learns from signals; with budget.items write schedule: own_items, or leave signal out"
        return [mismatch("own_items beside an objective's signal", found, hint)]
    if data.get("reduced") is not None:
        hint = "own items make a response model of their own; leave one of them out"
        return [mismatch("no own_items beside reduced", found, hint)]
    if budget is not None and budget.items is None and not data.get("stages"):  # stages have budgets of their own
        return [mismatch("budget.items beside it", found, "say how many items each candidate answers")]
    return []
