"""Successive halving: the better part of every generation goes on to twice the items, until few answer everything.

Jamieson and Talwalkar, "Non-stochastic Best Arm Identification and Hyperparameter Optimization", AISTATS 2016. Ranked
by p-IRT it found a good merge with the fewest answers of all strategies replayed (experiments/reduction/README.md).
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from evomerge.candidate import Candidate, Done, Scored
from evomerge.pareto import front
from evomerge.schedules.expected_answers import with_expected_answers
from evomerge.schedules.protocol import ScheduleContext
from fitness.scores import Budget, Estimate, ItemScores, ObjectiveEstimate, Stopped

NOTE = "halving"


class Halving:
    """Lets the better part of those who wait go on to the next items; implements `Schedule`.

    All of them have answered the same first items, so that plain means are a paired comparison. Those who go no
    further are told behind everybody who was scored whole: the sooner they were stopped, the further behind. Where the
    optimiser learns from values (`ScheduleContext.told_of_all`), theirs are what is expected of them on all items.

    Args:
        given: of the campaign; its estimator ranks, by the plain mean or by a response model.
        sizes: items after which a generation is cut, ascending; the last one is the number of all items.
        keep: share of a generation that goes on each time, in (0, 1); one candidate at least.
    """

    def __init__(self, given: ScheduleContext, sizes: Sequence[int], *, keep: float = 0.5) -> None:
        self._given = given
        self._keep = keep
        self._sizes = tuple(sizes)
        self._blocks = [Budget("search", given.items[start:end]) for start, end in pairwise([0, *sizes])]
        self._stage: dict[int, int] = {}  # candidate -> its block; the first where it is missing
        self._waiting: dict[int, Scored] = {}

    def items(self, candidate: Candidate) -> Budget:
        """Return a proposal's next block of items; landmarks answer everything at once."""
        if candidate.proposal is None:
            return self._given.budget
        return self._blocks[self._stage.get(candidate.number, 0)]

    def arrived(self, done: Sequence[Done]) -> Sequence[Done]:
        """Return who answered everything, all of it together, and who failed; commit what the others answered."""
        told: list[Done] = []
        waiting: list[Scored] = []
        for one in done:
            before = self._waiting.pop(one.candidate.number, None)
            one = _together(before, one) if before is not None else one  # noqa: PLW2901
            last = len(self._blocks) - 1
            if isinstance(one, Scored) and one.candidate.proposal is not None and self._stage_of(one) < last:
                waiting.append(one)
            else:
                self._stage.pop(one.candidate.number, None)
                told.append(one)
        if waiting:
            self._given.archive.told([(scored, None) for scored in waiting], kind="held")
            self._waiting.update((one.candidate.number, _without_answers(one)) for one in waiting)
        return told

    def advance(self) -> tuple[Sequence[Scored], Sequence[Candidate]]:
        """Rank those who wait; see `Schedule.advance`."""
        if not self._waiting:
            return (), ()
        # Where a search went on with a larger budget some wait at an earlier block: those first.
        stage = min(map(self._stage_of, self._waiting.values()))
        here = [scored for _, scored in sorted(self._waiting.items()) if self._stage_of(scored) == stage]
        estimates = [self._given.estimator.estimate(scored.scores) for scored in here]
        order = self._order(estimates)
        n_kept = max(1, math.ceil(self._keep * len(here)))
        kept, dropped = (sorted(places) for places in (order[:n_kept], order[n_kept:]))
        told = self._told(here, estimates) if self._given.told_of_all else estimates
        stopped = [self._stopped(here[i], told[i], stage, self._mean(estimates[i])) for i in dropped]
        for scored in stopped:
            del self._waiting[scored.candidate.number]
            self._stage.pop(scored.candidate.number, None)
        self._stage.update((here[i].candidate.number, stage + 1) for i in kept)
        self._given.archive.note(NOTE, json.dumps(list(self._stage.items())))
        return stopped, [here[i].candidate for i in kept]

    def restore(self, pending: Sequence[Candidate]) -> Sequence[Candidate]:
        """Take up answers and stages from the archive; see `Schedule.restore`."""
        numbers = {candidate.number: candidate for candidate in pending}
        noted = self._given.archive.parsed(NOTE, lambda text: dict(json.loads(text))) or {}
        self._stage = {number: stage for number, stage in noted.items() if number in numbers}
        for number, record in self._given.archive.held().items():
            if number in numbers and record.scores is not None:
                self._waiting[number] = Scored(numbers[number], record.scores, record.seconds)
        return [candidate for candidate in pending if not self._waits(candidate.number)]

    def _waits(self, number: int) -> bool:
        waiting = self._waiting.get(number)
        return waiting is not None and len(waiting.scores.item_ids) >= self._sizes[self._stage.get(number, 0)]

    def _stage_of(self, scored: Scored) -> int:
        return self._stage.get(scored.candidate.number, 0)

    def _order(self, estimates: Sequence[Estimate]) -> list[int]:
        """Return the places, best first: what is missed of constraints, then the mean, before it the front's rank."""
        missed = [self._given.missed(estimate) for estimate in estimates]
        ranks = front_ranks(estimates) if self._given.weights is None else [0] * len(estimates)
        means = [self._mean(estimate) for estimate in estimates]
        return sorted(range(len(estimates)), key=lambda i: (missed[i], ranks[i], -means[i], i))

    def _mean(self, estimate: Estimate) -> float:
        weights = self._given.weights
        if weights is None:
            return estimate.mean
        of_each = [weights[objective.name] for objective in estimate.objectives]
        return float(np.average([objective.value for objective in estimate.objectives], weights=of_each))

    def _told(self, here: Sequence[Scored], estimates: Sequence[Estimate]) -> list[Estimate]:
        """Return estimates with the values that are expected on all items, as sure as they are."""
        given = self._given
        whole = with_expected_answers(here, given.archive, given.items, given.task_of)
        pairs = zip(estimates, map(given.estimator.estimate, whole), strict=True)
        return [
            replace(before, objectives=_with_values(before.objectives, of_all.objectives)) for before, of_all in pairs
        ]

    def _stopped(self, scored: Scored, estimate: Estimate, stage: int, mean: float) -> Scored:
        missed = len(self._blocks) - 1 - stage
        shortfall = missed + 0.5 * (1.0 - mean / (1.0 + abs(mean)))  # between missed and missed + 1
        stopped = Stopped("rung", None, len(scored.scores.item_ids), shortfall)
        return replace(scored, estimate=replace(estimate, stopped=stopped))


def _with_values(
    objectives: Sequence[ObjectiveEstimate], others: Sequence[ObjectiveEstimate]
) -> tuple[ObjectiveEstimate, ...]:
    return tuple(replace(one, value=other.value) for one, other in zip(objectives, others, strict=True))


def _together(before: Scored, now: Done) -> Done:
    """Return a candidate with the answers of both blocks and the seconds that both took."""
    seconds = before.seconds + now.seconds
    if not isinstance(now, Scored):
        return replace(now, seconds=seconds)
    values = np.concatenate([before.scores.values, now.scores.values])
    items = before.scores.item_ids + now.scores.item_ids
    return Scored(now.candidate, ItemScores(items, values, now.scores.answers), seconds)


def _without_answers(scored: Scored) -> Scored:
    """Return it as it waits: the archive has its answers by now."""
    return replace(scored, scores=replace(scored.scores, answers=b""))


def front_ranks(estimates: Sequence[Estimate]) -> list[int]:
    """Return which front each is on, 0 for the first (nondominated sorting)."""
    values = np.array([[o.value for o in estimate.counting] for estimate in estimates])
    ranks = np.full(len(values), -1)
    while (left := np.flatnonzero(ranks < 0)).size:
        ranks[left[front(values[left])]] = ranks.max() + 1
    return [int(rank) for rank in ranks]
