"""The screen, a rung before the first: those of a generation that agree least with the experts answer no item.

What is decided depends on the divergences alone, not on who finished first, and they are in the archive: a resumed
campaign decides alike.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from evomerge.archive import Archive
from evomerge.candidate import Candidate, Done, Evaluation, Failure, Outcome, Scored
from fitness.scores import Budget, Estimate, ItemScores, Stopped


@dataclass(frozen=True)
class ScreenPlan:
    """How a generation is screened.

    Attributes:
        budget: the items of the screen.
        divergence: scores of them -> the divergence from the experts, at least 0, less is better.
        keep: share of a generation that goes on, in (0, 1].
    """

    budget: Budget
    divergence: Callable[[ItemScores], float]
    keep: float = 0.5


class Screen:
    """Who of a generation is screened, waits for the others, or is set aside.

    Those who are set aside are told last, with the values of the worst one that was not: what they are worth nobody
    knows, but optimisers shall rank them behind everybody else.

    Args:
        archive: keeps the scores on the screen.
        plan: None: nobody is screened.
        n_rungs: that follow.
    """

    def __init__(self, archive: Archive, plan: ScreenPlan | None = None, *, n_rungs: int = 0) -> None:
        self._archive = archive
        self._plan = plan
        self._n_rungs = n_rungs
        self._generation: int | None = None
        self._members: set[int] = set()
        self._divergences: dict[int, float] = {}  # of the generation's members that were screened
        self._seconds: dict[int, float] = {}  # of screening, where they are still to be told
        self._is_cut = False
        self._aside: dict[int, Candidate] = {}
        self._worst: Evaluation | None = None  # of the generation
        self._worst_landmark: Evaluation | None = None  # stands in where a whole generation has failed

    def enter(self, candidates: Sequence[Candidate], generation: int | None) -> None:
        """Take in members of a generation; where it is another one than before, begin anew."""
        if generation != self._generation:
            self._generation, self._members, self._is_cut, self._worst = generation, set(), False, None
            self._divergences, self._seconds = {}, {}
        self._members |= {candidate.number for candidate in candidates}

    def recover(self, pending: Iterable[int]) -> None:
        """Take up what the archive knows of the generation, when a campaign goes on."""
        if self._plan is None:
            return
        scored, began = self._archive.screened(), self._archive.held()
        for number, record in scored.items():
            if number in self._members and record.scores is not None:
                self._divergences[number] = self._plan.divergence(record.scores)
        self._seconds = {n: scored[n].seconds for n in pending if n in scored and n not in began}

    def budget(self, candidate: Candidate, further: Budget) -> Budget:
        """Return what a candidate is scored on next: the screen, then the further items."""
        if self._plan is None or candidate.proposal is None or candidate.number in self._divergences:
            return further
        return self._plan.budget

    def hold(self, arrived: Sequence[Done]) -> list[Done]:
        """Keep those that come from the screen; return the others."""
        held = [done for done in arrived if isinstance(done, Scored) and self._is_of_the_screen(done)]
        if held:
            self._archive.told([(scored, None) for scored in held], split="screen", kind="screened")
        for scored in held:
            assert self._plan is not None
            self._divergences[scored.candidate.number] = self._plan.divergence(scored.scores)
            self._seconds[scored.candidate.number] = scored.seconds
        others = [done for done in arrived if done not in held]
        return [replace(done, seconds=done.seconds + self._seconds.pop(done.candidate.number, 0.0)) for done in others]

    def waits(self, number: int) -> bool:
        """Return whether a candidate waits for the others of its generation."""
        return number in self._divergences and (not self._is_cut or number in self._aside)

    @property
    def is_cut(self) -> bool:
        """Whether it is decided who of the generation goes on."""
        return self._plan is None or self._is_cut

    def cut(self, pending: Mapping[int, Candidate]) -> None:
        """Set those aside that agree least; ask when everybody waits."""
        assert self._plan is not None
        order = sorted(self._divergences, key=lambda number: (self._divergences[number], number))
        behind = set(order[max(1, math.ceil(self._plan.keep * len(order))) :])
        self._is_cut, self._aside = True, {n: c for n, c in sorted(pending.items()) if n in behind}

    def set_aside(self) -> list[tuple[Scored, Evaluation]]:
        """Return those who were set aside, to be told; ask when all others of the generation are told.

        Where nothing at all could be scored so far, they go on after all.
        """
        worst = self._worst or self._worst_landmark
        if worst is None:
            self._aside = {}
            return []
        told = []
        for number, candidate in self._aside.items():
            scored = Scored(candidate, ItemScores((), np.empty(0)), self._seconds.pop(number, 0.0))
            told.append((scored, Evaluation(candidate, self._estimate(number, worst.estimate), scored.scores)))
        return told

    def learn(self, outcomes: Sequence[Outcome]) -> None:
        """Take in what the campaign was told, violations included."""
        for outcome in outcomes:
            self._aside.pop(outcome.candidate.number, None)
            if isinstance(outcome, Failure):
                continue
            if outcome.candidate.proposal is None:
                self._worst_landmark = _worse(self._worst_landmark, outcome)
            else:
                self._worst = _worse(self._worst, outcome)

    def _is_of_the_screen(self, scored: Scored) -> bool:
        return self._plan is not None and scored.scores.item_ids == self._plan.budget.items

    def _estimate(self, number: int, worst: Estimate) -> Estimate:
        divergence = self._divergences[number]
        stopped = Stopped("screen", None, 0, self._n_rungs + 1 + divergence / (1.0 + divergence))
        return Estimate(worst.split, tuple(replace(o, n_items=0, kind="estimated") for o in worst.objectives), stopped)


def _worse(one: Evaluation | None, other: Evaluation) -> Evaluation:
    if one is None or (other.violation, -other.estimate.mean) > (one.violation, -one.estimate.mean):
        return other
    return one
