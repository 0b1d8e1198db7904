"""An optimiser that begins at the best landmark, whatever order they came in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from evomerge.candidate import Candidate, Evaluation, Failure, Outcome
from evomerge.optimisers import CmaEs, Map, OptimiserOptions, Problem, Pymoo, Structured
from evomerge.optimisers.after_landmarks import AfterLandmarks
from evomerge.optimisers.map.amortised_pareto import AmortisedPareto
from evomerge.optimisers.map.surrogates.objectives import fit_objectives, measured
from evomerge.testing.optimiser_contract import evaluation
from fitness.scores import Estimate, ItemScores, ObjectiveEstimate
from search_spaces.recipes.groups import Groups
from search_spaces.spaces.known_merges import genome_of
from search_spaces.spaces.weight_space import WeightSpace
from tests.evomerge.toy import PARENTS, weights_recipe

SPACE = WeightSpace(
    PARENTS, "base", n_layers=2, operators=["task_arithmetic"], groups=Groups(1, ("all",)), genes={"weight": (0.0, 1.0)}
)
PROBLEM = Problem(SPACE, 3, {"sums": 1.0, "words": 3.0}, 100)
WEIGHTS = [(0.25, 0.5), (0.75, 0.25), (0.5, 0.5), (2.0, 0.0)]  # the last lies outside the space


def told(number: int, sums: float, words: float, *, violation: float = 0.0) -> Evaluation:
    estimate = Estimate("search", tuple(ObjectiveEstimate(n, v, 0.0, 1) for n, v in (("sums", sums), ("words", words))))
    candidate = Candidate(number, weights_recipe(*WEIGHTS[number]), f"landmark {number}")
    return Evaluation(candidate, estimate, ItemScores(("i",), np.array([1.0])), violation)


# The second has the best weighted mean, the first the best plain one; the third failed.
OUTCOMES: list[Outcome] = [
    told(0, 0.9, 0.2),
    told(1, 0.1, 0.5),
    Failure(Candidate(2, weights_recipe(*WEIGHTS[2]), "landmark 2"), "merge", "no"),
    told(3, 1.0, 1.0),
]


def after(options: OptimiserOptions, outcomes: Sequence[Outcome], n_landmarks: int = 4) -> AfterLandmarks:
    optimiser = AfterLandmarks(PROBLEM, options.build, lambda recipe: genome_of(SPACE, recipe), n_landmarks)
    for outcome in outcomes:
        assert list(optimiser.ask(3)) == []
        optimiser.tell([outcome])
    return optimiser


def test_cma_es_begins_at_the_landmark_of_the_best_weighted_mean_that_the_space_has() -> None:
    genomes = np.array(after(CmaEs(sigma0=0.001), OUTCOMES).ask(6))
    np.testing.assert_allclose(genomes, np.tile(WEIGHTS[1], (len(genomes), 1)), atol=0.01)


def test_a_landmark_that_violates_less_comes_before_a_better_one() -> None:
    worse = [OUTCOMES[0], told(1, 0.1, 0.5, violation=0.1), *OUTCOMES[2:]]
    genomes = np.array(after(CmaEs(sigma0=0.001), worse).ask(6))
    np.testing.assert_allclose(genomes.mean(axis=0), WEIGHTS[0], atol=0.01)


def test_a_first_population_holds_the_landmarks_and_asks_for_none_of_them_again() -> None:
    optimiser, plain = after(Pymoo("nsga2", population=6), OUTCOMES), Pymoo("nsga2", population=6).build(PROBLEM)
    genomes = [genome.tolist() for genome in optimiser.ask(10)]
    assert len(genomes) == 4
    assert not any(list(weights) in genomes for weights in WEIGHTS)
    assert genomes == [genome.tolist() for genome in plain.ask(10)][2:]  # the others are drawn as ever


@pytest.mark.parametrize(
    "options", [CmaEs(), Pymoo("nsga2", population=6), Pymoo("de", population=5), Map(initial=6, batch=2)]
)
def test_the_order_in_which_landmarks_come_back_changes_nothing(options: OptimiserOptions) -> None:
    one, other = after(options, OUTCOMES), after(options, OUTCOMES[::-1])
    for _ in range(3):
        genomes = list(one.ask(4))
        assert [g.tolist() for g in genomes] == [g.tolist() for g in other.ask(4)]


def test_map_learns_from_landmarks_as_from_what_it_proposed() -> None:
    optimiser = after(Map(initial=8), OUTCOMES)
    genomes = optimiser.ask(100)
    assert len(genomes) == 6  # two of eight are known
    assert [0.5, 0.5] in [list(genome) for genome in genomes]  # the space's own start, whose score nobody knows
    assert not any(np.allclose(genome, weights) for genome in genomes for weights in WEIGHTS[:2])
    outcomes = [evaluation(i, genome) for i, genome in enumerate(genomes)]
    found = optimiser.own
    assert isinstance(found, AmortisedPareto)
    found.tell(outcomes)
    landmarks = [told(1, 0.1, 0.5), told(0, 0.9, 0.2)]
    as_proposed = [
        replace(one, candidate=replace(one.candidate, genome=np.array(WEIGHTS[one.candidate.number])))
        for one in landmarks
    ]
    grid = np.random.default_rng(0).random((5, 2))
    np.testing.assert_allclose(found.predicted(grid), fit_objectives(measured([*as_proposed, *outcomes])).values(grid))


def test_structured_search_begins_among_the_landmarks() -> None:
    space = WeightSpace(
        PARENTS,
        "base",
        n_layers=2,
        operators=["task_arithmetic", "linear"],
        groups=Groups(1, ("all",)),
        genes={"weight": (0.0, 1.0)},
    )
    problem = Problem(space, 3, {"sums": 1.0, "words": 3.0}, 100)
    optimiser = AfterLandmarks(
        problem, Structured(sigma0=0.001, population=8).build, lambda recipe: genome_of(space, recipe), 4
    )
    optimiser.tell(OUTCOMES)
    genomes = np.array(optimiser.ask(8))
    best = genome_of(space, weights_recipe(*WEIGHTS[1]))
    assert best is not None
    choices = [*space.structure.choices]
    assert space.decode(genomes[0]) == space.decode(space.start())  # which nobody has scored
    numbers = genomes[4:]
    np.testing.assert_allclose(numbers, np.tile(best, (len(numbers), 1)), atol=0.26)
    assert {tuple(row) for row in (numbers[:, choices] * 2).astype(int)} == {tuple((best[choices] * 2).astype(int))}


def test_a_search_of_older_rules_is_told_nothing_that_it_was_not() -> None:
    problem = replace(PROBLEM, rules=1)
    assert (Map().landmarks_since, Structured().landmarks_since, CmaEs().landmarks_since) == (2, 2, 1)
    one, other = CmaEs().build(problem), CmaEs().build(PROBLEM)
    assert (one._goes_on_at_ties, other._goes_on_at_ties) == (False, True)


def test_without_a_landmark_of_the_space_the_search_begins_where_it_would() -> None:
    (genome,) = after(CmaEs(), OUTCOMES[2:], n_landmarks=2).ask(1)
    (expected,) = CmaEs().build(PROBLEM).ask(1)
    assert genome.tolist() == expected.tolist()


def test_what_says_where_to_begin_keeps_the_optimiser_from_landmarks() -> None:
    assert CmaEs().begins_at_landmarks
    assert not CmaEs(x0=0.3).begins_at_landmarks
    assert not CmaEs(warm_start="merge.yml").begins_at_landmarks
    assert not Pymoo("ga", warm_start="merge.yml").begins_at_landmarks
