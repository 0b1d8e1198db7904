"""The label-free screen: those of a generation that agree least with the experts answer no item.

What those are worth whom it sets aside nobody knows. They are told behind everybody else, with the values of the worst
one that was not.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np

from evomerge.archive import Archive
from evomerge.candidate import Candidate, Done, Scored
from evomerge.schedules.protocol import Schedule
from fitness.scores import Budget, Estimate, ItemScores, Stopped

NOTE = "set aside"
# Above what any schedule behind the screen ranks by: a halving cannot have so many stages.
BEHIND = 64
D = TypeVar("D", bound=Done)


class Screen:
    """Screens a generation before another schedule begins with the better part of it; implements `Schedule`.

    Args:
        archive: keeps the scores on the screen.
        budget: the items of the screen.
        divergence: scores of them -> the divergence from the experts, at least 0, less is better.
        keep: share of a generation that goes on, in (0, 1); one candidate at least.
        then: the schedule of those who go on.
    """

    def __init__(
        self,
        archive: Archive,
        budget: Budget,
        divergence: Callable[[ItemScores], float],
        *,
        keep: float,
        then: Schedule,
    ) -> None:
        self._archive, self._budget, self._divergence = archive, budget, divergence
        self._keep, self._then = keep, then
        self._screened: dict[int, Scored] = {}  # who is not told yet
        self._kept: list[int] = []  # by the last cut
        self._aside: list[int] = []

    def items(self, candidate: Candidate) -> Budget:
        """Return the screen, then what comes after it; landmarks are not screened."""
        screened = candidate.proposal is None or candidate.number in self._screened
        return self._then.items(candidate) if screened else self._budget

    def arrived(self, done: Sequence[Done]) -> Sequence[Done]:
        """Keep those that come from the screen; the others are the next schedule's."""
        screened = [one for one in done if isinstance(one, Scored) and one.scores.item_ids == self._budget.items]
        if screened:
            self._archive.told([(one, None) for one in screened], split="screen", kind="screened")
            self._screened.update((one.candidate.number, one) for one in screened)
        return [self._with_all_seconds(one) for one in self._then.arrived([one for one in done if one not in screened])]

    def advance(self) -> tuple[Sequence[Scored], Sequence[Candidate]]:
        """Cut those who were screened; then let the next schedule go on; last tell who was set aside."""
        if waiting := self._screened.keys() - {*self._kept, *self._aside}:
            divergences = {number: self._divergence(self._screened[number].scores) for number in waiting}
            order = sorted(divergences, key=lambda number: (divergences[number], number))
            n_kept = max(1, math.ceil(self._keep * len(order)))
            return (), self._cut(sorted(order[:n_kept]), [*self._aside, *order[n_kept:]])
        stopped, going_on = self._then.advance()
        if stopped or going_on or not self._aside:
            return [self._with_all_seconds(one) for one in stopped], going_on
        worst = self._worst()
        if worst is None:  # nothing could be scored so far: they go on after all
            return (), self._cut(self._aside, [])
        aside, self._aside = [self._screened.pop(number) for number in self._aside], []
        return [self._told_last(scored, worst) for scored in aside], ()

    def restore(self, pending: Sequence[Candidate]) -> Sequence[Candidate]:
        """Take up from the archive who was screened, and who was set aside; see `Schedule.restore`."""
        numbers = {candidate.number: candidate for candidate in pending}
        for number, record in self._archive.screened().items():
            if number in numbers and record.scores is not None:
                self._screened[number] = Scored(numbers[number], record.scores, record.seconds)
        self._kept, aside = self._archive.parsed(NOTE, _kept_and_aside) or ([], [])
        self._aside = [number for number in aside if number in numbers]
        to_come = [c for c in pending if c.number not in self._screened and c.proposal is not None]
        begun = [c for c in pending if c.proposal is None or c.number in self._kept]
        return [*to_come, *self._then.restore(begun)]

    def _cut(self, kept: list[int], aside: list[int]) -> list[Candidate]:
        self._kept, self._aside = kept, sorted(aside)
        self._archive.note(NOTE, json.dumps([self._kept, self._aside]))
        return [self._screened[number].candidate for number in kept]

    def _worst(self) -> Estimate | None:
        """Return the least estimate of those who were kept, or of the landmarks where all of them failed."""
        estimates = {r.number: r.estimate for r in self._archive.records("search") if r.estimate is not None}
        landmarks = [candidate.number for candidate in self._archive.landmarks()]
        for numbers in (self._kept, landmarks):
            if scored := [estimates[number] for number in numbers if number in estimates]:
                return min(scored, key=lambda estimate: estimate.mean)
        return None

    def _told_last(self, scored: Scored, worst: Estimate) -> Scored:
        divergence = self._divergence(scored.scores)
        stopped = Stopped("screen", None, 0, BEHIND + divergence / (1.0 + divergence))
        objectives = tuple(replace(o, n_items=0, kind="estimated") for o in worst.objectives)
        estimate = Estimate(worst.split, objectives, stopped)
        return Scored(scored.candidate, ItemScores((), np.empty(0)), scored.seconds, estimate)

    def _with_all_seconds(self, one: D) -> D:
        screened = self._screened.pop(one.candidate.number, None)
        return one if screened is None else replace(one, seconds=one.seconds + screened.seconds)


def _kept_and_aside(noted: str) -> tuple[list[int], list[int]]:
    kept, aside = json.loads(noted)
    return list(kept), list(aside)
