"""Bayesian optimisation: ask at any time, tell in any order; what is pending counts, and nothing waits."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from evomerge.candidate import Candidate, Evaluation, Outcome
from evomerge.optimisers.bayes.effort import Effort
from evomerge.optimisers.bayes.features import Features
from evomerge.optimisers.bayes.knowledge import Questions
from evomerge.optimisers.bayes.learner import Learner
from evomerge.optimisers.generation import checked_genomes, proposals_of
from evomerge.optimisers.losses import check_weights, objective_losses
from evomerge.optimisers.terrain import Notes, NotesInMemory
from evomerge.seeds import stream
from evomerge.typing import Floats
from search_spaces.spaces.space import Structure


class BayesSearch:
    """Maximise one objective, or find the front of several, with few evaluations; steady state.

    First come the starts and points that fill the cube; then each proposal is what gains most by the response model
    of everything told, with what is pending counted as known. Answers to items are pooled
    (`fitness.estimation.pooled`), so candidates may have answered different ones. A proposal depends on what was told
    and proposed before it, not on the order in which it was told, nor on how it was asked for. It is noted, so that a
    resume makes none again.

    Args:
        structure: of the genes.
        questions: what is asked of merges; the objectives, best by the mean of their weights if that is all there is.
        seed: at least 0.
        initial: points before the first model, starts and what is known included.
        starts: (dim,) genomes to begin with.
        known: what is known of genomes that it did not propose.
        notes: what a resume reads again.
        effort: that goes into a proposal.
    """

    def __init__(
        self,
        structure: Structure,
        questions: Questions,
        *,
        seed: int,
        initial: int,
        starts: Sequence[ArrayLike] = (),
        known: Sequence[tuple[Floats, Evaluation]] = (),
        notes: Notes | None = None,
        effort: Effort | None = None,
    ) -> None:
        check_weights(questions.weights)
        self._structure, self._questions, self._seed = structure, questions, seed
        self._features = Features(structure)
        self._starts = checked_genomes(starts, structure.dim)
        self._n_designed = max(len(self._starts), initial - len(known))
        self._learner = Learner(questions, self._features)
        self._learner.add([(genome, _as_proposed(one, genome)) for genome, one in known])
        self._notes = NotesInMemory() if notes is None else notes
        self._effort = effort or Effort()
        self._genomes: list[Floats] = []
        self._pending: set[int] = set()
        self._gain: float | None = None

    def ask(self, n: int) -> list[Floats]:
        """Return n genomes, each (dim,) in [0, 1]."""
        return [self._next() for _ in range(n)]

    def tell(self, outcomes: Sequence[Outcome]) -> None:
        """Receive outcomes in any order."""
        for outcome in outcomes:
            if isinstance(outcome, Evaluation):
                objective_losses(outcome, len(self._questions.weights))
        numbers = proposals_of(outcomes, asked=len(self._genomes), pending=self._pending)
        self._learner.add([(self._genomes[i], outcome) for i, outcome in zip(numbers, outcomes, strict=True)])
        self._pending.difference_update(numbers)

    def gain_left(self) -> float | None:
        """Return what the last proposal was expected to gain, in units of the objectives; None while that is not known.

        It was reckoned for the proposal, by what was told before it: asking costs nothing, and a resume knows it.
        """
        return self._gain

    def predicted(self, genomes: Floats) -> Floats:
        """Return (n, n_objectives) values of (n, dim) genomes on all items, by everything that it was told."""
        return self._learner.learnt().responses.marginals(self._features.of(genomes))[0]

    def _next(self) -> Floats:
        number = len(self._genomes)
        genome = self._designed(number) if number < self._n_designed else self._proposed(number)
        genome.flags.writeable = False
        self._genomes.append(genome)
        self._pending.add(number)
        return genome

    def _designed(self, number: int) -> Floats:
        """Return a start, then points of a scrambled Sobol sequence."""
        from scipy.stats import qmc

        if number < len(self._starts):
            return np.array(self._starts[number])
        place = number - len(self._starts)
        engine = qmc.Sobol(self._structure.dim, scramble=True, rng=stream(self._seed, "bayes", "design"))
        points = engine.random_base2(place.bit_length())
        return np.asarray(self._features.rounded(points[place : place + 1])[0])

    def _proposed(self, number: int) -> Floats:
        if not self._learner.knows_enough:
            return self._designed(number)
        self._learner.note_time()
        key, state = f"bayes {number}", f"{self._learner.state} {sorted(self._pending)}"
        noted = json.loads(self._notes.noted(key) or "{}")
        if noted.get("state") != state:
            noted = {"state": state, **self._found(number)}
            self._notes.note(key, json.dumps(noted))
        self._gain = noted["gain"]
        return np.array(noted["genome"], dtype=np.float64)

    def _found(self, number: int) -> dict[str, object]:
        from evomerge.optimisers.bayes.proposer import propose

        dim = self._structure.dim
        found = propose(
            self._learner.learnt(),
            np.array([self._genomes[i] for i in sorted(self._pending)]).reshape(-1, dim),
            self._questions.shares,
            features=self._features,
            effort=self._effort,
            rng=stream(self._seed, "bayes", str(number)),
        )
        return {"gain": found.gain, "genome": found.genome.tolist()}


def _as_proposed(one: Evaluation, genome: Floats) -> Evaluation:
    """Return what a landmark reached, with the genome that stands for it."""
    known = one.candidate
    return replace(one, candidate=Candidate(known.number, known.recipe, known.label, None, genome))
