"""The greedy soup: parents in order of their own score, each kept if the average does not get worse."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from evomerge.candidate import Evaluation, Outcome
from evomerge.optimisers.errors import OptimiserError
from evomerge.optimisers.generation import Generation
from evomerge.optimisers.losses import Losses, check_weights, mean_loss
from evomerge.optimisers.protocol import Optimiser
from evomerge.typing import Genome

Members = tuple[int, ...]


class GreedySoupSearch:
    """Score every parent alone, then add parent by parent, best first (Wortsman et al. 2022, "Model soups", recipe 1).

    n parents take 2n - 1 evaluations: the n alone together, the others one after the other. Then another optimiser
    goes on, or the search ends. Evaluations rank by violation, then by the weighted mean of the objectives. `genome_of`
    returns the genome of some parents' plain average.
    """

    def __init__(
        self,
        genome_of: Callable[[Members], Genome],
        *,
        n_parents: int,
        weights: Mapping[str, float],
        then: Optimiser[Genome] | None = None,
    ) -> None:
        if n_parents < 2:
            raise OptimiserError(f"parents: expected at least 2 for a soup, found {n_parents}")
        check_weights(weights)
        self._genome_of, self._n, self._weights, self._then = genome_of, n_parents, dict(weights), then
        self._steps = self._search()
        self._generation = Generation(next(self._steps), first=0)
        self._ended = False

    def ask(self, n: int) -> list[Genome]:
        """Return up to n genomes; none while the next step waits for an outcome, or at the end."""
        if n > 0 and self._generation.complete and not self._ended:
            try:
                self._generation = Generation(next(self._steps), first=self._generation.end)
            except StopIteration:
                self._ended = True
        if self._ended:
            return [] if self._then is None else list(self._then.ask(n))
        return self._generation.hand_out(n)

    def tell(self, outcomes: Sequence[Outcome]) -> None:
        """Receive outcomes in any order; those of the optimiser that goes on are its own, counted from 0."""
        if not self._ended or self._then is None:
            self._generation.receive(outcomes, self._loss)
            return
        own = self._generation.end
        for outcome in outcomes:
            if isinstance(outcome, Evaluation):
                self._loss(outcome)
        if early := [o for o in outcomes if o.candidate.proposal is None or o.candidate.proposal < own]:
            self._generation.receive(early)  # says what is wrong with them
        self._then.tell(
            [replace(o, candidate=replace(o.candidate, proposal=(o.candidate.proposal or 0) - own)) for o in outcomes]
        )

    def _search(self) -> Iterator[NDArray[np.float64]]:
        """Yield (n, dim) genomes of one step after the other; when asked again, their outcomes are there."""
        yield np.array([self._genome_of((parent,)) for parent in range(self._n)])
        alone = [self._rank(outcome) for outcome in self._generation.in_order()]
        order = sorted(range(self._n), key=lambda parent: (alone[parent], parent))
        soup: Members = (order[0],)
        best = alone[order[0]]
        for parent in order[1:]:
            larger = tuple(sorted((*soup, parent)))
            yield np.array([self._genome_of(larger)])
            found = self._rank(self._generation.in_order()[0])
            if found <= best and found[0] < np.inf:
                soup, best = larger, found

    def _rank(self, outcome: Outcome) -> tuple[float, float]:
        """Return what sorts outcomes, best first: violation, then loss; failures last."""
        if not isinstance(outcome, Evaluation):
            return np.inf, 0.0
        return outcome.violation, float(self._loss(outcome)[0])

    def _loss(self, evaluation: Evaluation) -> Losses:
        return mean_loss(evaluation, self._weights)
