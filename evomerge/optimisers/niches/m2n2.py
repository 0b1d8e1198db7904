"""M2N2: model merging of natural niches; steady state.

Abrantes, Lange and Tang, "Competition and Attraction Improve Model Fusion", arXiv:2508.16204 (GECCO 2025). `niches` has
the competition and the attraction; `search_spaces.spaces.niches` has the merge of two individuals.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from evomerge.candidate import Evaluation, Outcome
from evomerge.optimisers.errors import OptimiserError
from evomerge.optimisers.generation import proposals_of
from evomerge.optimisers.niches.niches import Competition, Contest, counted_from_zero
from evomerge.seeds import stream

G = TypeVar("G")
DEFAULT_POPULATION = 20


class Crossing(Protocol[G]):
    """The individuals that a search begins with, and how two of them make a third."""

    @property
    def seeds(self) -> Sequence[G]:
        """The first individuals, at least one."""
        ...

    def child(self, first: G, second: G, rng: np.random.Generator) -> G:
        """Return a child; `first` may be `second`."""
        ...


@dataclass(frozen=True, eq=False)
class Member(Generic[G]):
    """An individual of the population."""

    proposal: int  # the number under which it was proposed; below 0: it was known
    individual: G
    scores: NDArray[np.float64]  # (n_items,) float64, higher is better
    violation: float  # by how much it misses constraints; 0 where all hold


class M2N2Search(Generic[G]):
    """Breed individuals that do well on items on which few others do; steady state.

    First every seed is proposed. Once all of them are told, each `ask` breeds children of the population as it is:
    any number may be pending, and outcomes may come in any order (the search is a function of that order). A told
    child joins the population; while that has more than `population` members the worst leaves: the one that misses
    constraints most or, when all hold, the one of least fitness with the child counted in; the oldest place on ties.
    Failures never join. Without a crossover of two members (all but one seed failed) seeds are crossed.

    It learns from item scores and not from objectives: with several objectives the items of all compete alike, so an
    objective counts by its number of items, and weights of objectives are not used. Scores should be at least 0;
    an item with negative ones counts from its lowest in the population. The plain genetic algorithm of the paper is
    `Competition(alpha=0, attraction="none")`. There are at most `population` members, at least 2. What is `known` of
    individuals that it did not propose makes its first members, in their order.
    """

    def __init__(
        self,
        crossing: Crossing[G],
        *,
        seed: int,
        population: int = DEFAULT_POPULATION,
        competition: Competition | None = None,
        known: Sequence[tuple[G, Evaluation]] = (),
    ) -> None:
        if population < 2:
            raise OptimiserError(f"population: expected at least 2, found {population}")
        if not crossing.seeds:
            raise OptimiserError("seeds: expected at least one individual to begin with, found none")
        self.crossing, self._capacity = crossing, population
        self._competition = Competition() if competition is None else competition
        self._rng = stream(seed, "m2n2")
        self._asked = 0
        self._pending: dict[int, G] = {}
        self._seeds_to_come = len(crossing.seeds)
        self._members: list[Member[G]] = []
        self._scores = np.empty((0, 0))  # (population + 1, n_items): the members', and a place for one more
        self._all_positive = True
        self._contest: Contest | None = None  # the members', until one of them changes
        self._items: tuple[str, ...] | None = None
        for i, (individual, evaluation) in enumerate(known):
            self._items = evaluation.scores.item_ids if self._items is None else self._items
            _check_items(evaluation, self._items)
            self._join(Member(-1 - i, individual, evaluation.scores.values, evaluation.violation))

    @property
    def members(self) -> tuple[Member[G], ...]:
        """The population at this moment."""
        return tuple(self._members)

    def ask(self, n: int) -> list[G]:
        """Return the seeds first, then n children; none while seeds are pending."""
        seeds = self.crossing.seeds
        if self._asked < len(seeds):
            individuals = list(seeds[self._asked : self._asked + max(n, 0)])
        elif self._seeds_to_come:
            return []
        else:
            individuals = [self._child() for _ in range(n)]
        self._pending.update(enumerate(individuals, start=self._asked))
        self._asked += len(individuals)
        return individuals

    def tell(self, outcomes: Sequence[Outcome]) -> None:
        """Take told individuals into the population, one after the other, in the order given."""
        numbers = proposals_of(outcomes, asked=self._asked, pending=self._pending)
        items = self._items
        for outcome in outcomes:
            if isinstance(outcome, Evaluation):
                items = outcome.scores.item_ids if items is None else items
                _check_items(outcome, items)
        self._items = items
        for number, outcome in zip(numbers, outcomes, strict=True):
            if isinstance(outcome, Evaluation):
                self.receive(number, outcome.scores.values, outcome.violation)
            else:
                self.receive(number, None)

    def receive(self, proposal: int, scores: NDArray[np.float64] | None, violation: float = 0.0) -> None:
        """Learn from the scores of one pending proposal: what `tell` does, where there are no candidates.

        Proposals count the individuals that `ask` returned from 0; scores are (n_items,), of the same items every time,
        or None where it failed.
        """
        if proposal not in self._pending:
            raise OptimiserError(f"receive: expected a pending proposal, found {proposal}")
        individual = self._pending.pop(proposal)
        self._seeds_to_come -= proposal < len(self.crossing.seeds)
        if scores is not None:
            self._join(Member(proposal, individual, scores, violation))

    def _child(self) -> G:
        if len(self._members) < 2:
            seeds = self.crossing.seeds
            first, second = self._rng.choice(len(seeds), 2, replace=len(seeds) < 2).tolist()
            return self.crossing.child(seeds[first], seeds[second], self._rng)
        if self._contest is None:
            self._contest = self._contest_of(len(self._members))
        first, second = self._contest.pair(self._rng)
        return self.crossing.child(self._members[first].individual, self._members[second].individual, self._rng)

    def _join(self, member: Member[G]) -> None:
        if not self._members:
            self._scores = np.zeros((self._capacity + 1, len(member.scores)))
        self._all_positive &= bool(member.scores.min() >= 0.0)
        self._scores[len(self._members)] = member.scores
        if len(self._members) < self._capacity:
            self._members.append(member)
            self._contest = None
            return
        worst = self._worst([*(each.violation for each in self._members), member.violation])
        if worst < len(self._members):
            self._members[worst] = member
            self._scores[worst] = member.scores
            self._contest = None

    def _contest_of(self, n: int) -> Contest:
        scores = self._scores[:n]
        return Contest(scores if self._all_positive else counted_from_zero(scores), self._competition)

    def _worst(self, violations: Sequence[float]) -> int:
        fitness, most = self._contest_of(len(violations)).fitness, max(violations)
        if most:
            fitness = np.where(np.equal(violations, most), fitness, np.inf)
        return int(fitness.argmin())


def _check_items(evaluation: Evaluation, items: tuple[str, ...]) -> None:
    found = evaluation.scores.item_ids
    if found is not items and found != items:
        raise OptimiserError(
            f"items: expected the scores of candidate {evaluation.candidate.number} to be of the same {len(items)} "
            f"items as all others', found {len(found)}; m2n2 compares members item by item"
        )
