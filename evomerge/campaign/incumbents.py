"""What workers do while the optimiser waits: they score the front's candidates on further search items.

Candidates are told to the optimiser on the campaign's first items alone, so when and on what a worker filled its time
has no effect on the search. The front takes the larger estimate.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np

from evomerge.archive import Archive
from evomerge.candidate import Candidate, Done, Evaluation, Failure, Scored
from evomerge.pareto import constrained_front
from fitness.errors import FitnessError
from fitness.protocols import Estimator
from fitness.scores import Budget, ItemScores

_LOG = logging.getLogger(__name__)


def blocks(items: Sequence[str], further: Sequence[str]) -> tuple[Budget, ...]:
    """Return further items in blocks of a quarter of the items that a candidate is scored on, at least 1 each.

    A quarter, because a new generation waits until the blocks that are being scored are done.
    """
    size = max(1, len(items) // 4)
    return tuple(Budget("search", tuple(further[i : i + size])) for i in range(0, len(further), size))


class Incumbents:
    """The front so far, and which blocks of further items each of its candidates has been scored on.

    Args:
        archive: records larger estimates, and knows those of earlier sessions.
        estimator: item scores -> objectives.
        further: blocks of search items that candidates are not scored on; none for nothing to do.
    """

    def __init__(self, archive: Archive, estimator: Estimator, further: Sequence[Budget] = ()) -> None:
        self._archive = archive
        self._estimator = estimator
        self._further = tuple(further)
        self._front: list[Evaluation] = []
        self._scores: dict[int, ItemScores] = {}  # everything known of a candidate that was scored further
        self._running: dict[int, Budget] = {}
        self._failed: set[int] = set()

    def learn(self, evaluation: Evaluation) -> None:
        """Take in an evaluation that the campaign was told."""
        if not self._further:
            return
        front = [*self._front, evaluation]
        values = [[objective.value for objective in e.estimate.objectives] for e in front]
        kept = constrained_front(np.array(values), [e.violation for e in front])
        self._front = [front[i] for i in kept]

    def next_job(self) -> tuple[Candidate, Budget] | None:
        """Return a candidate of the front and a block that it has not been scored on; None where there is none left.

        The candidate that rests on the fewest items comes first, then the newest.
        """
        waiting = []
        for evaluation in self._front:
            number = evaluation.candidate.number
            if number in self._running or number in self._failed:
                continue
            known = set(self._known(evaluation).item_ids)
            left = (tuple(item for item in block.items or () if item not in known) for block in self._further)
            items = next((items for items in left if items), None)
            if items is not None:
                waiting.append((len(known), -number, evaluation.candidate, Budget("search", items)))
        if not waiting:
            return None
        *_, candidate, block = min(waiting, key=lambda job: job[:2])
        self._running[candidate.number] = block
        return candidate, block

    def receive(self, done: Done) -> None:
        """Record what a block adds to a candidate's estimate; a failure leaves the estimate as it is."""
        number = done.candidate.number
        del self._running[number]
        if isinstance(done, Failure):
            self._give_up(number, done.reason)
            return
        self._extend(done)

    def extend(self, measured: Sequence[Done]) -> None:
        """Record what scores on other items add to candidates' estimates."""
        for done in measured:
            if isinstance(done, Scored):
                self._extend(done)

    def awaits(self, number: int) -> bool:
        """Return whether a candidate is being scored further."""
        return number in self._running

    @property
    def busy(self) -> bool:
        """Whether somebody is being scored further."""
        return bool(self._running)

    def _extend(self, done: Scored) -> None:
        number = done.candidate.number
        known = self._archive.scores(number, "search")
        assert known is not None
        answers = dict(zip(known.item_ids, known.values.tolist(), strict=True))
        answers |= zip(done.scores.item_ids, done.scores.values.tolist(), strict=True)
        scores = ItemScores(tuple(answers), np.array([*answers.values()]))
        try:
            estimate = self._estimator.estimate(scores)
        except FitnessError as error:
            self._give_up(number, str(error))
            return
        self._archive.told([(Scored(done.candidate, scores, done.seconds), estimate)], kind="rescored")
        self._scores[number] = scores

    def _known(self, evaluation: Evaluation) -> ItemScores:
        number = evaluation.candidate.number
        if number not in self._scores:
            self._scores[number] = self._archive.scores(number, "search") or evaluation.scores
        return self._scores[number]

    def _give_up(self, number: int, reason: str) -> None:
        _LOG.warning("candidate %d failed on further search items: %s", number, reason)
        self._failed.add(number)
