"""MAP: the Pareto front of quadratic surrogates, re-evaluated for real in rounds.

Li et al. 2024, "MAP: Low-compute Model Merging with Amortized Pareto Fronts via Quadratic Approximation" (arXiv
2406.07529). The paper samples, fits and reads the front off the fit; here every predicted point is scored before it
counts, and each round is chosen by expected hypervolume improvement (Emmerich, Giannakoglou and Naujoks 2006), which
is large where the surrogates predict a better front and where they are unsure of one.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from evomerge.candidate import Evaluation, Outcome
from evomerge.optimisers.errors import OptimiserError
from evomerge.optimisers.generation import proposals_of
from evomerge.optimisers.losses import objective_losses
from evomerge.optimisers.map.surrogates.design import SpaceFillingDesign, design_size
from evomerge.optimisers.map.surrogates.front_search import FrontSearch
from evomerge.optimisers.map.surrogates.objectives import Measured, ObjectiveSurrogates, fit_objectives, measured
from evomerge.optimisers.map.surrogates.predicted_front import FEWEST, search_front
from evomerge.optimisers.map.surrogates.selection import Selection
from evomerge.seeds import stream, stream_seed
from evomerge.typing import Floats

_LOG = logging.getLogger(__name__)


class AmortisedPareto:
    """Maximise every objective with few evaluations: a space-filling design, then rounds chosen on surrogates.

    A round is chosen when the round before the last one is complete: what is still being scored counts as scored with
    its expected value, so no worker waits for a round's last outcome, and completion order has no effect. Failures
    leave the fit alone; a point whose nearest outcome is a failure is not proposed again. Constraints come first:
    a violation has a surrogate of its own, and points improve the front by their chance of keeping every constraint.

    Args:
        dim: number of genes, at least 1.
        n_objectives: how many objectives each evaluation carries, at least 1.
        seed: names the streams of random numbers, at least 0.
        initial, batch, overlap: see `evomerge.optimisers.Map`.
        starts: (dim,) genomes in [0, 1] that the design begins with, at most `initial`; none is the middle of the cube.
        search: of the surrogates' front.

    Raises:
        OptimiserError: a start is no genome.
    """

    def __init__(
        self,
        dim: int,
        *,
        n_objectives: int,
        seed: int,
        initial: int | None = None,
        batch: int = 4,
        overlap: bool = True,
        starts: Sequence[ArrayLike] = (),
        search: FrontSearch | None = None,
    ) -> None:
        initial = design_size(dim) if initial is None else initial
        self._n_objectives, self._seed = n_objectives, seed
        self._batch, self._overlap = batch, overlap
        self._search = FrontSearch() if search is None else search
        self._design = SpaceFillingDesign(_checked(starts, dim)[:initial], seed=seed, size=initial)
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
        """Receive outcomes in any order.

        Raises:
            OptimiserError: an outcome is not of a pending proposal, or has another number of objectives or one that is
                not finite.
        """
        for outcome in outcomes:
            if isinstance(outcome, Evaluation):
                objective_losses(outcome, self._n_objectives)
        numbers = proposals_of(outcomes, asked=self._handed_out, pending=self._pending)
        self._outcomes.update(zip(numbers, outcomes, strict=True))
        self._pending.difference_update(numbers)

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
        told = [self._outcomes[number] for number in range(self._learnt)]
        evaluations = [outcome for outcome in told if isinstance(outcome, Evaluation)]
        if len(evaluations) < FEWEST:
            return self._designed(self._batch)
        known = measured(evaluations)
        surrogates = fit_objectives(known)
        self._log_forms(evaluations[0], surrogates, n=len(evaluations))
        selection = Selection(
            known,
            surrogates,
            proposed=np.array(self._genomes),
            failed=np.array([not isinstance(outcome, Evaluation) for outcome in told]),
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


def _checked(starts: Sequence[ArrayLike], dim: int) -> Floats:
    genomes = np.array(starts if len(starts) else [np.full(dim, 0.5)], dtype=np.float64)
    if genomes.shape != (len(genomes), dim) or not ((genomes >= 0.0) & (genomes <= 1.0)).all():
        raise OptimiserError(f"starts: expected genomes of {dim} numbers in [0, 1], found {starts!r}")
    return genomes
