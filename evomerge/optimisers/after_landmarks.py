"""An optimiser that begins where the landmarks are best: it is built once they are scored."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from evomerge.candidate import Evaluation, Outcome
from evomerge.optimisers.losses import mean_loss
from evomerge.optimisers.problem import Problem
from evomerge.optimisers.protocol import Optimiser, gain_left
from search_spaces.recipes.recipe import Recipe


class AfterLandmarks:
    """Proposes nothing before the last landmark is told; then it is the optimiser that `build` makes.

    That one is given the landmarks which its space can express: those that violate least first, then by the weighted
    mean of the objectives. What it proposes depends on the landmarks' outcomes, not on their order.

    Args:
        problem: without start points.
        build: makes the optimiser of a problem, fresh.
        genome_of: the genome of a landmark's recipe; None where the space has none.
        n_landmarks: how many are scored.
    """

    wants_landmarks = True

    def __init__(
        self,
        problem: Problem,
        build: Callable[[Problem], Optimiser[Any]],
        genome_of: Callable[[Recipe], Any],
        n_landmarks: int,
    ) -> None:
        self._problem, self._build, self._genome_of = problem, build, genome_of
        self._n_open = n_landmarks
        self._landmarks: list[Evaluation] = []
        self._built: Optimiser[Any] | None = None

    @property
    def own(self) -> Optimiser[Any]:
        """The optimiser that proposes; itself as long as there is none."""
        return self if self._built is None else self._built

    def ask(self, n: int) -> Sequence[Any]:
        """Return the optimiser's genomes; none while a landmark is open."""
        if self._built is None:
            if self._n_open > 0:
                return []
            self._built = self._build(self._informed())
        return self._built.ask(n)

    def tell(self, outcomes: Sequence[Outcome]) -> None:
        """Learn from outcomes, landmarks among them."""
        proposals = []
        for outcome in outcomes:
            if outcome.candidate.proposal is not None:
                proposals.append(outcome)
                continue
            self._n_open -= 1
            if isinstance(outcome, Evaluation):
                self._landmarks.append(outcome)
        if proposals and self._built is not None:
            self._built.tell(proposals)

    def gain_left(self) -> float | None:
        """Return what the optimiser expects to gain; None as long as there is none."""
        return None if self._built is None else gain_left(self._built)

    def _informed(self) -> Problem:
        """Return the problem with start points: the landmarks that the space has, best first."""
        weights = self._problem.weights
        weighed = weights if any(weights.values()) else dict.fromkeys(weights, 1.0)
        ranked = sorted(
            self._landmarks,
            key=lambda one: (one.violation, float(mean_loss(one, weighed)[0]), one.candidate.number),
        )
        genomes, scored, seen = [], [], set()
        for one in ranked:
            genome = self._genome_of(one.candidate.recipe)
            key = None if genome is None else np.asarray(genome).tobytes()
            if key is not None and key not in seen:
                seen.add(key)
                genomes.append(genome)
                scored.append(one)
        return replace(self._problem, given=tuple(genomes), scored=tuple(scored))
