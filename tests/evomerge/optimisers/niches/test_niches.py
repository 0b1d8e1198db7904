"""Competition and attraction are the paper's and the released code's formulas."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from evomerge.optimisers.niches.niches import Competition, Contest, counted_from_zero, roulette

Scores = NDArray[np.float64]
BINARY = hnp.arrays(np.float64, st.tuples(st.integers(2, 6), st.integers(1, 8)), elements=st.sampled_from([0.0, 1.0]))


def fitness_by_hand(scores: Scores, alpha: float, eps: float, capacity: object) -> list[float]:
    """Σ_j c_j s_ij / (z_j^α + ε), item by item; items that nobody scores on give nothing."""
    totals = []
    for row in scores.tolist():
        total = 0.0
        for j, score in enumerate(row):
            shared = sum(scores[:, j].tolist())
            worth = 1.0 if capacity == 1 else max(scores[:, j].tolist())
            total += worth * score / (shared**alpha + eps) if shared > 0 else 0.0
        totals.append(total)
    return totals


@given(scores=BINARY, alpha=st.sampled_from([0.0, 0.5, 1.0, 2.0]), eps=st.sampled_from([0.0, 0.1]))
def test_fitness_is_the_formula(scores: Scores, alpha: float, eps: float) -> None:
    for capacity in (1, "max"):
        competition = Competition(alpha=alpha, eps=eps, capacity=capacity)  # type: ignore[arg-type]
        assert Contest(scores, competition).fitness == pytest.approx(fitness_by_hand(scores, alpha, eps, capacity))


@given(scores=BINARY)
def test_without_competition_fitness_is_the_number_of_correct_items(scores: Scores) -> None:
    assert np.array_equal(Contest(scores, Competition(alpha=0.0)).fitness, scores.sum(axis=1))


@given(scores=BINARY)
def test_with_full_competition_a_duplicate_gets_half_the_credit_of_its_own_niche(scores: Scores) -> None:
    """An item that one member alone solves is worth 1 to it, and a half once there is a copy of it."""
    alone = (scores[0] == 1) & (scores[1:].sum(axis=0) == 0)
    copied = np.vstack([scores, scores[0]])
    contest = Contest(copied, Competition())
    assert (contest.worth[alone] == 0.5).all()
    assert contest.fitness[0] == contest.fitness[-1]


@given(scores=BINARY)
def test_with_full_competition_all_fitness_together_is_the_number_of_items_that_anybody_solves(scores: Scores) -> None:
    assert Contest(scores, Competition()).fitness.sum() == pytest.approx((scores.sum(axis=0) > 0).sum())


def test_attraction_counts_what_the_first_parent_lacks() -> None:
    scores = np.array([[1, 1, 0, 0], [1, 0, 1, 0], [0, 0, 1, 1], [0, 1, 0, 0]], dtype=np.float64)
    # z = 2, 2, 2, 1
    assert Contest(scores, Competition()).attractiveness(0).tolist() == [0.0, 0.5, 1.5, 0.0]
    assert Contest(scores, Competition(alpha=0.0)).attractiveness(0).tolist() == [0.0, 1.0, 2.0, 0.0]
    paper = Competition(alpha=0.0, attraction="without_alpha")
    assert Contest(scores, paper).attractiveness(0).tolist() == [0.0, 0.5, 1.5, 0.0]


@given(scores=hnp.arrays(np.float64, (4, 6), elements=st.floats(0, 1, width=16)))
def test_attraction_is_the_formula_for_graded_scores_too(scores: Scores) -> None:
    contest = Contest(scores, Competition(capacity="max"))
    for first in range(4):
        by_hand = [(contest.worth * np.maximum(other - scores[first], 0.0)).sum() for other in scores]
        assert contest.attractiveness(first) == pytest.approx(by_hand)


def drawn(competition: Competition, scores: Scores, n: int = 4000) -> Counter[tuple[int, int]]:
    rng = np.random.default_rng(0)
    contest = Contest(scores, competition)
    return Counter(contest.pair(rng) for _ in range(n))


def test_parents_are_drawn_by_roulettes_of_fitness_and_then_of_attraction() -> None:
    scores = np.array([[1, 1, 0, 0], [1, 0, 1, 0], [0, 0, 1, 1]], dtype=np.float64)
    found = drawn(Competition(), scores)
    fitness = Contest(scores, Competition()).fitness
    for first in range(3):
        attraction = Contest(scores, Competition()).attractiveness(first)
        for second in range(3):
            expected = fitness[first] / fitness.sum() * attraction[second] / attraction.sum()
            assert found[first, second] / 4000 == pytest.approx(expected, abs=0.03)


def test_attraction_never_mates_a_member_with_itself_but_without_it_members_may() -> None:
    scores = np.array([[1, 1, 0], [1, 0, 1], [1, 1, 1]], dtype=np.float64)
    assert not any(first == second for first, second in drawn(Competition(), scores))
    assert any(first == second for first, second in drawn(Competition(attraction="none"), scores))


@pytest.mark.parametrize("fallback", ["random", "fitness"])
def test_where_nobody_attracts_the_first_parent_another_member_is_drawn(fallback: Any) -> None:
    """All alike: the released code divides zero by zero."""
    scores = np.ones((4, 5))
    found = drawn(Competition(fallback=fallback), scores)
    assert {second for first, second in found if first == 0} == {1, 2, 3}


def test_by_fitness_the_fallback_prefers_the_fitter() -> None:
    """Member 0 lacks nothing that others have; 1 has three items and 2 has one."""
    scores = np.array([[1, 1, 1, 1], [1, 1, 1, 0], [0, 0, 0, 1]], dtype=np.float64)
    second = Counter(b for a, b in drawn(Competition(fallback="fitness", alpha=0.0), scores).elements() if a == 0)
    assert second[1] / second.total() == pytest.approx(0.75, abs=0.05)
    second = Counter(b for a, b in drawn(Competition(fallback="random", alpha=0.0), scores).elements() if a == 0)
    assert second[1] / second.total() == pytest.approx(0.5, abs=0.05)


def test_where_nobody_solves_anything_all_are_alike() -> None:
    found = drawn(Competition(), np.zeros((3, 4)))
    assert {first for first, _ in found} == {0, 1, 2}
    assert not any(first == second for first, second in found)


def test_a_lone_solver_mates_with_others_also_by_fitness() -> None:
    """Nobody else has any fitness, and the first parent is not its own mate."""
    scores = np.array([[1, 1], [0, 0], [0, 0]], dtype=np.float64)
    assert set(drawn(Competition(fallback="fitness"), scores)) == {(0, 1), (0, 2)}


@given(scores=hnp.arrays(np.float64, (3, 4), elements=st.floats(-5, 5)))
def test_scores_that_count_from_zero_keep_their_differences(scores: Scores) -> None:
    counted = counted_from_zero(scores)
    assert counted.min() >= 0
    assert np.diff(counted, axis=0) == pytest.approx(np.diff(scores, axis=0))
    unchanged = scores.min(axis=0) >= 0
    assert np.array_equal(counted[:, unchanged], scores[:, unchanged])


def test_the_roulette_never_draws_what_has_no_share() -> None:
    rng = np.random.default_rng(0)
    assert {roulette(np.array([0.0, 1e-300, 0.0, 0.0]), rng) for _ in range(100)} == {1}
    shares = np.array([0.0, 1.0, 3.0])
    counts = Counter(roulette(shares, rng) for _ in range(4000))
    assert counts[2] / 4000 == pytest.approx(0.75, abs=0.03)
    assert counts[0] == 0
