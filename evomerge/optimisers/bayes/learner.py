"""What the search has learnt: the response model of everything told, whose settings are chosen anew now and then."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evomerge.candidate import Evaluation
from evomerge.optimisers.bayes.features import Features
from evomerge.optimisers.bayes.knowledge import Chosen, Known, Questions, fit_acceptance, missed
from evomerge.typing import Floats
from fitness.estimation.pooled import PooledResponses

FEWEST = 3  # evaluations that a model is fitted to
_GROWTH = 1.2  # settings are chosen anew when there are so many times more


@dataclass(frozen=True, eq=False)
class Learnt:
    """The response models of what was known at one time.

    Attributes:
        genomes: (n, dim) of everything known.
        accepted: (n,) whether it was evaluated and keeps all constraints.
        responses: of the evaluated.
        acceptance: of constraints and failures; None where there were none.
    """

    genomes: Floats
    accepted: NDArray[np.bool_]
    responses: PooledResponses
    acceptance: PooledResponses | None


class Learner:
    """Fits response models when they are asked for, always the same ones for the same past.

    Settings are chosen at times that the number of evaluations says, from those of the time before. A resumed search,
    which has its proposals noted, passes these times by without a fit; the first proposal that is new makes up for it.

    Args:
        questions: what is asked of merges.
        features: genomes as models see them.
    """

    def __init__(self, questions: Questions, features: Features) -> None:
        self._questions, self._features = questions, features
        self._known: list[Known] = []
        self._n_evaluated = 0
        self._times: list[int] = []  # how much was known when settings were due
        self._due = FEWEST
        self._chosen: list[tuple[Chosen, Chosen | None]] = []  # at those of these times that were made up for
        self._learnt: tuple[int, Learnt] | None = None
        self._digest = 0

    def add(self, known: Sequence[Known]) -> None:
        """Take in what became of genomes; whatever order they came in, they stand in the same one."""
        self._known.extend(known)
        self._n_evaluated += sum(isinstance(outcome, Evaluation) for _, outcome in known)
        self._digest = (self._digest + sum(map(_digest, known))) % 2**256

    @property
    def knows_enough(self) -> bool:
        """Whether there is enough for a model."""
        return self._n_evaluated >= FEWEST

    @property
    def state(self) -> str:
        """What names everything known, in whatever order it came."""
        return f"{self._digest:064x}"

    def note_time(self) -> None:
        """Note that a model is wanted now, so that settings are due if there is enough new."""
        if self._n_evaluated >= self._due:
            self._times.append(len(self._known))
            self._due = max(self._n_evaluated + 1, int(np.ceil(_GROWTH * self._n_evaluated)))

    def learnt(self) -> Learnt:
        """Return what is known now."""
        if self._learnt is None or self._learnt[0] != len(self._known):
            for time in self._times[len(self._chosen) :]:
                before = self._chosen[-1] if self._chosen else (None, None)
                found = self._fit(time, before, None)
                self._chosen.append((found.responses.settings, _settings_of(found.acceptance)))
                if time == len(self._known):
                    self._learnt = time, found
            if self._learnt is None or self._learnt[0] != len(self._known):
                before = self._chosen[-1] if self._chosen else (None, None)
                self._learnt = len(self._known), self._fit(len(self._known), before, 0)
        return self._learnt[1]

    def _fit(self, time: int, before: tuple[Chosen | None, Chosen | None], rounds: int | None) -> Learnt:
        known = sorted(self._known[:time], key=_place)
        responses = self._questions.fit(self._features, known, before[0], rounds if before[0] else None)
        acceptance = fit_acceptance(self._features, known, before[1], rounds)
        accepted = [isinstance(outcome, Evaluation) and not missed(outcome) for _, outcome in known]
        return Learnt(np.array([genome for genome, _ in known]), np.array(accepted), responses, acceptance)


def _settings_of(model: PooledResponses | None) -> Chosen | None:
    return None if model is None else model.settings


def _place(known: Known) -> tuple[int, int]:
    candidate = known[1].candidate
    return (-1, candidate.number) if candidate.proposal is None else (candidate.proposal, 0)


def _digest(known: Known) -> int:
    """Return a number that names a genome and what became of it."""
    genome, outcome = known
    parts = [str(_place(known)).encode(), np.asarray(genome).tobytes()]
    if isinstance(outcome, Evaluation):
        values = [objective.value for objective in outcome.estimate.objectives]
        parts += ["\n".join(outcome.scores.item_ids).encode(), outcome.scores.values.tobytes()]
        parts += [np.array([*values, missed(outcome)]).tobytes()]
    return int.from_bytes(hashlib.sha256(b"\0".join(parts)).digest(), "big")
