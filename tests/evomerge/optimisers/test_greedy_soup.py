"""The greedy soup keeps the optimiser contract, takes Wortsman's steps, and hands over."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytest

from evomerge.optimisers import CmaEs, GreedySoup, OptimiserError
from evomerge.optimisers.greedy_soup import GreedySoupSearch
from evomerge.optimisers.random_search import RandomSearch
from evomerge.testing.optimiser_contract import Genome, OptimiserContract, evaluation, failure


def membership(n: int, members: tuple[int, ...]) -> Genome:
    """Return 0.9 for members and 0.1 for others."""
    return np.array([0.9 if i in members else 0.1 for i in range(n)])


def greedy_then_random(dim: int, seed: int) -> GreedySoupSearch:
    return soup(dim, then=RandomSearch(dim, seed=seed))


def soup(n: int, **arguments: Any) -> GreedySoupSearch:
    weights = {"left": 1.0, "right": 1.0}
    return GreedySoupSearch(lambda members: membership(n, members), n_parents=n, **{"weights": weights, **arguments})


class TestGreedySoup(OptimiserContract):
    factory = "tests.evomerge.optimisers.test_greedy_soup:greedy_then_random"
    arguments: ClassVar = {"dim": 4, "seed": 0}

    def test_another_seed_gives_other_genomes(self, make: Any) -> None:
        steps = 7
        seeds = [np.array(self.continued(greedy_then_random(4, seed), steps + 3))[steps:] for seed in (0, 1)]
        assert not np.array_equal(*seeds)

    @staticmethod
    def continued(optimiser: GreedySoupSearch, n: int) -> list[Genome]:
        genomes: list[Genome] = []
        while len(genomes) < n:
            new = list(optimiser.ask(1))
            optimiser.tell([evaluation(len(genomes) + i, g) for i, g in enumerate(new)])
            genomes += new
        return genomes


def members_of(genome: Genome) -> tuple[int, ...]:
    return tuple(np.flatnonzero(genome > 0.5).tolist())


def steps(
    scores: dict[tuple[int, ...], float], *, n: int, failing: tuple[tuple[int, ...], ...] = ()
) -> list[tuple[int, ...]]:
    """Return the members of every genome asked, one by one, to the end."""
    optimiser = soup(n, weights={"all": 1.0})
    asked: list[tuple[int, ...]] = []
    while genomes := optimiser.ask(1):
        members = members_of(genomes[0])
        number = len(asked)
        asked.append(members)
        outcome = (
            failure(number, genomes[0])
            if members in failing
            else evaluation(number, genomes[0], all=scores.get(members, 0.0))
        )
        optimiser.tell([outcome])
    return asked


def test_parents_are_added_best_first_and_kept_when_the_soup_gets_no_worse() -> None:
    scores = {(0,): 0.2, (1,): 0.5, (2,): 0.4, (3,): 0.3, (1, 2): 0.5, (1, 2, 3): 0.4, (0, 1, 2): 0.6}
    assert steps(scores, n=4) == [(0,), (1,), (2,), (3,), (1, 2), (1, 2, 3), (0, 1, 2)]


def test_a_failure_is_never_kept_and_fails_no_later_step() -> None:
    scores = {(0,): 0.5, (1,): 0.4, (2,): 0.3, (0, 2): 0.6}
    assert steps(scores, n=3, failing=((0, 1),)) == [(0,), (1,), (2,), (0, 1), (0, 2)]


def test_the_search_ends_when_nothing_follows() -> None:
    assert len(steps({}, n=5)) == 9


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"n": 1}, "parents: expected at least 2"), ({"n": 3, "weights": {"all": 0.0}}, "weights: expected numbers")],
)
def test_wrong_arguments_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(OptimiserError, match=message):
        soup(**arguments)


def test_what_a_file_would_hold_names_the_kind_of_the_optimiser_that_goes_on() -> None:
    soup_then_cma_es = GreedySoup(then=CmaEs(sigma0=0.2))
    written = soup_then_cma_es.model_dump()
    assert written["then"]["kind"] == "cma_es"
    assert GreedySoup.model_validate(written) == soup_then_cma_es
