"""MAP: the Pareto front of quadratic surrogates, re-evaluated for real in rounds.

Li et al. 2024, "MAP: Low-compute Model Merging with Amortized Pareto Fronts via Quadratic Approximation" (arXiv
2406.07529). The paper samples, fits and reads the front off the fit; here every predicted point is scored before it
counts, and each round is chosen by expected hypervolume improvement (Emmerich, Giannakoglou and Naujoks 2006), which
is large where the surrogates predict a better front and where they are unsure of one.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from evomerge.candidate import Candidate, Evaluation, Outcome
from evomerge.optimisers.generation import checked_genomes, proposals_of
from evomerge.optimisers.losses import objective_losses
from evomerge.optimisers.map.surrogates.objectives import (
    Measured,
    ObjectiveSurrogates,
    answered,
    fit_objectives,
    measured,
)
from evomerge.optimisers.map.surrogates.predicted_front import FEWEST, FrontSearch, search_front
from evomerge.optimisers.map.surrogates.selection import APART, Selection
from evomerge.seeds import stream, stream_seed
from evomerge.typing import Floats

_LOG = logging.getLogger(__name__)
# Beyond this many points a design waits too long before it learns; see `design_size`.
MANY = 60


def design_size(dim: int) -> int:
    """Return how many points a first fit wants: (dim + 1)(dim + 2), twice the unknowns of a full quadratic.

    Where that is more than 60, 60 or twice the unknowns of a linear model.
    """
    return min((dim + 1) * (dim + 2), max(MANY, 2 * (dim + 1)))


class SpaceFillingDesign:
    """Some starts, the dim points with one gene at 1 and the others at 0, then scrambled Sobol points without an end.

    They fill the cube and never depend on how many there will be. Where a size is too small for the dim points to leave
    room for as many others, they are left out; so are those of them that are known.
    """

    def __init__(self, starts: Floats, *, seed: int, size: int, known: Floats) -> None:
        self._seed = seed
        self._dim = dim = starts.shape[1]
        chosen = np.eye(dim) if size >= 2 * dim + len(starts) else np.empty((0, dim))
        new = [not (np.abs(known - point).max(axis=1) <= APART).any() for point in chosen]
        self._special = np.concatenate([starts, chosen[np.array(new, dtype=bool)]])

    def points(self, first: int, last: int) -> Floats:
        """Return the points from `first` up to but not including `last`; (last - first, dim) in [0, 1]."""
        from scipy.stats import qmc

        n_special = len(self._special)
        wanted = max(last - n_special, 1)
        # The same scramble whatever the number of points; powers of two keep the sequence balanced.
        engine = qmc.Sobol(self._dim, scramble=True, rng=stream(self._seed, "map", "design"))
        filling = engine.random_base2(max(wanted - 1, 0).bit_length())
        return np.concatenate([self._special, filling])[first:last]


class AmortisedPareto:
    """Maximise every objective with few evaluations: a space-filling design, then rounds chosen on surrogates.

    A round is chosen when the round before the last one is complete: what is still being scored counts as scored with
    its expected value, so no worker waits for a round's last outcome, and completion order has no effect. Failures
    leave the fit alone; a point whose nearest outcome is a failure is not proposed again. Constraints come first:
    a violation has a surrogate of its own, and points improve the front by their chance of keeping every constraint.

    The design begins with the starts, (dim,) in [0, 1] each, or the middle of the cube. What is `known` of genomes that
    it did not propose is learnt from as if it had, and stands for up to a quarter of the design. The other arguments
    are those of `evomerge.optimisers.Map`.
    """

    def __init__(  # noqa: PLR0913
        self,
        dim: int,
        *,
        n_objectives: int,
        seed: int,
        initial: int | None = None,
        batch: int = 4,
        overlap: bool = True,
        starts: Sequence[ArrayLike] = (),
        known: Sequence[tuple[Floats, Evaluation]] = (),
        search: FrontSearch | None = None,
    ) -> None:
        initial = design_size(dim) if initial is None else initial
        self._n_objectives, self._seed = n_objectives, seed
        self._batch, self._overlap = batch, overlap
        self._search = FrontSearch() if search is None else search
        self._known = [_as_proposed(genome, evaluation) for genome, evaluation in known]
        self._known_genomes = checked_genomes([genome for genome, _ in known], dim)
        initial -= min(len(known), initial // 4)  # they stand close together, on few lines
        first = checked_genomes(starts if len(starts) or known else [np.full(dim, 0.5)], dim)[:initial]
        self._design = SpaceFillingDesign(first, seed=seed, size=initial, known=self._known_genomes)
        self._n_designed = 0
        self._genomes: list[Floats] = []
        self._ends: list[int] = []  # the proposal number after each round
        self._handed_out = 0
        self._outcomes: dict[int, Outcome] = {}
        self._pending: set[int] = set()
        self._fronts: dict[float, Floats] = {}  # the last ones found; the next search begins there
        self._told_forms: list[str] = []
        self._append(self._designed(initial))

    def ask(self, n: int) -> list[Floats]:
        """Return up to n genomes, each (dim,) in [0, 1]; none while outcomes are pending that the next round needs."""
        if n > 0 and self._handed_out == len(self._genomes) and self._settled_to_learn():
            self._append(self._next_round())
        start, self._handed_out = self._handed_out, min(self._handed_out + max(n, 0), len(self._genomes))
        self._pending.update(range(start, self._handed_out))
        return self._genomes[start : self._handed_out]

    def tell(self, outcomes: Sequence[Outcome]) -> None:
        """Receive outcomes in any order."""
        for outcome in outcomes:
            if isinstance(outcome, Evaluation):
                objective_losses(outcome, self._n_objectives)
        numbers = proposals_of(outcomes, asked=self._handed_out, pending=self._pending)
        self._outcomes.update(zip(numbers, outcomes, strict=True))
        self._pending.difference_update(numbers)

    def predicted(self, genomes: Floats) -> Floats:
        """Return (n, n_objectives) values of (n, dim) genomes, by surrogates of everything that it was told."""
        told = [outcome for outcome in self._outcomes.values() if answered(outcome)]
        return fit_objectives(measured([*self._known, *told])).values(genomes)

    @property
    def _learnt(self) -> int:
        """The next round learns from the proposals below this number."""
        return self._ends[-2] if self._overlap and len(self._ends) > 1 else self._ends[-1]

    def _settled_to_learn(self) -> bool:
        return all(number in self._outcomes for number in range(self._learnt))

    def _append(self, genomes: Floats) -> None:
        rows = np.array(genomes, dtype=np.float64)
        rows.flags.writeable = False
        self._genomes.extend(rows)
        self._ends.append(len(self._genomes))

    def _designed(self, n: int) -> Floats:
        first, self._n_designed = self._n_designed, self._n_designed + n
        return self._design.points(first, self._n_designed)

    def _next_round(self) -> Floats:
        told = [*self._known, *(self._outcomes[number] for number in range(self._learnt))]
        evaluations = [outcome for outcome in told if answered(outcome)]
        if len(evaluations) < FEWEST:
            return self._designed(self._batch)
        known = measured(evaluations)
        surrogates = fit_objectives(known)
        self._log_forms(evaluations[0], surrogates, n=len(evaluations))
        selection = Selection(
            known,
            surrogates,
            proposed=np.concatenate([self._known_genomes, np.array(self._genomes)]),
            failed=np.array([not answered(outcome) for outcome in told]),
            rng=stream(self._seed, "map", "selection", str(len(self._ends))),
        )
        for number in range(self._learnt, len(self._genomes)):
            selection.expect(self._genomes[number])
        chosen = selection.choose(self._pool(known, surrogates), self._batch)
        missing = self._batch - len(chosen)
        return np.concatenate([chosen, self._designed(missing)]) if missing else chosen

    def _pool(self, known: Measured, surrogates: ObjectiveSurrogates) -> Floats:
        """Return the predicted front, and the front if every value were a standard deviation better."""
        for deviations in (0.0, 1.0):
            self._fronts[deviations] = search_front(
                known,
                surrogates,
                self._search,
                seed=stream_seed(self._seed, "map", "search", str(len(self._ends)), str(deviations)),
                deviations=deviations,
                earlier=self._fronts.get(deviations),
            )
        return np.concatenate(list(self._fronts.values()))

    def _log_forms(self, example: Evaluation, surrogates: ObjectiveSurrogates, *, n: int) -> None:
        forms: list[str] = [surrogate.form for surrogate in surrogates.objectives]
        if forms != self._told_forms:
            self._told_forms = forms
            _LOG.info(
                "surrogates of %d evaluations: %s",
                n,
                ", ".join(
                    f"{estimate.name} {s.form} ({len(s.coefficients)} unknowns, leave-one-out R² {s.r2:.2f})"
                    for estimate, s in zip(example.estimate.objectives, surrogates.objectives, strict=True)
                ),
            )


def _as_proposed(genome: Floats, evaluation: Evaluation) -> Evaluation:
    """Return what a genome reached, with the genome."""
    known = evaluation.candidate
    return replace(evaluation, candidate=Candidate(known.number, known.recipe, known.label, None, genome))
