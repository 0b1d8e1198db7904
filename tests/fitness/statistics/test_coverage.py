"""Intervals hold the truth as often as they say, in worlds where the truth is known."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pytest
from scipy import stats

from fitness.estimation import MeanEstimator, Objective
from fitness.scores import ItemScores
from fitness.splits import Splits
from fitness.statistics import Difference, PairedComparison, limits_of_objective

RUNS = 500
# What is asked is 93 % of cases and 3.5 % at either end; less or more by two standard errors of so many runs.
LEAST, MOST_AT_AN_END = 0.93 - 0.023, 0.035 + 0.016

Draw = Callable[[np.random.Generator, int], tuple[np.ndarray, np.ndarray]]


def comparison(sizes: Mapping[str, int], *, per_group: int = 1, together: bool = False) -> PairedComparison:
    """Compare over tasks of these sizes, each an objective of its own, or `together` one."""
    items = {f"{task}/{i}": f"{task}/{i // per_group}" for task, n in sizes.items() for i in range(n)}
    one = (Objective("all", tuple(sizes)),)
    objectives = one if together else tuple(Objective(task, (task,)) for task in sizes)
    return PairedComparison(objectives, {item: item.split("/")[0] for item in items}, items if per_group > 1 else {})


def shares_covered(found: list[Difference], truth: float) -> tuple[float, float, float]:
    low, high = np.array([(d.low, d.high) for d in found]).T
    return float(np.mean((low <= truth) & (truth <= high))), float(np.mean(low > truth)), float(np.mean(high < truth))


def check_difference(compared: PairedComparison, draw: Draw, truth: float) -> None:
    rng, items = np.random.default_rng(5), tuple(compared.task_of)
    scores = (draw(rng, len(items)) for _ in range(RUNS))
    found = [compared.of_means(ItemScores(items, a), ItemScores(items, b)) for a, b in scores]
    covered, too_high, too_low = shares_covered(found, truth)
    assert covered >= LEAST
    assert max(too_high, too_low) <= MOST_AT_AN_END
    assert all(-1.0 <= d.low <= d.value <= d.high <= 1.0 for d in found)


def zero_one(wins: float, losses: float) -> Draw:
    def draw(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
        u = rng.random(n)
        return (u < wins).astype(float), ((u >= wins) & (u < wins + losses)).astype(float)

    return draw


def rare(size: float, share: float, others: float) -> Draw:
    """The first model is better by `size` on a share of the items, and by `others` on the rest; around .5."""

    def draw(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
        d = np.where(rng.random(n) < share, size, others)
        return 0.5 + d / 2, 0.5 - d / 2

    return draw


@pytest.mark.parametrize("n_items", [20, 100])
@pytest.mark.parametrize(
    ("wins", "losses"), [(0.02, 0.0), (0.05, 0.0), (0.02, 0.02), (0.1, 0.05), (0.2, 0.2), (0.3, 0.05), (0.9, 0.02)]
)
def test_the_interval_covers_the_true_difference_of_accuracies(n_items: int, wins: float, losses: float) -> None:
    check_difference(comparison({"a": n_items}), zero_one(wins, losses), wins - losses)


@pytest.mark.parametrize("n_items", [20, 100])
@pytest.mark.parametrize(("size", "share"), [(0.3, 0.03), (-0.3, 0.03), (-1.0, 0.01), (-1.0, 0.03)])
def test_rare_large_differences_that_were_not_seen_are_allowed_for(n_items: int, size: float, share: float) -> None:
    # All others make up for the rare ones, so that the models are equally good.
    check_difference(comparison({"a": n_items}), rare(size, share, -size * share / (1 - share)), 0.0)


@pytest.mark.parametrize("sizes", [{"a": 10, "c": 200}, {"a": 40, "b": 40, "c": 40}, {"a": 5, "b": 50, "c": 200}])
@pytest.mark.parametrize("together", [True, False])
def test_the_interval_covers_the_true_difference_over_tasks(sizes: dict[str, int], together: bool) -> None:
    check_difference(comparison(sizes, together=together), zero_one(0.1, 0.05), 0.05)


@pytest.mark.parametrize(("sizes", "losses"), [((5, 500, 500), 0.4), ((20, 500, 500), 0.1), ((5, *[300] * 9), 0.3)])
def test_a_task_of_few_items_does_not_hide_that_it_is_unlike_the_others(sizes: tuple[int, ...], losses: float) -> None:
    """The first model is worse on the small task by as much as it is better on all others together."""
    compared = comparison({f"t{k}": n for k, n in enumerate(sizes)}, together=True)
    small, gain = np.arange(sum(sizes)) < sizes[0], losses / (len(sizes) - 1)

    def draw(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
        u = rng.random(n)
        better, worse = np.where(small, 0.0, 0.15 + gain / 2), np.where(small, losses, 0.15 - gain / 2)
        return (u < better).astype(float), ((u >= better) & (u < better + worse)).astype(float)

    check_difference(compared, draw, 0.0)


def test_graded_scores_are_covered() -> None:
    check_difference(comparison({"a": 40}), lambda rng, n: (rng.beta(2, 2, n), rng.beta(2, 2, n)), 0.0)


@pytest.mark.parametrize(("n_groups", "per_group", "alike"), [(10, 5, 0.3), (20, 5, 0.3), (60, 5, 0.3), (50, 2, 1.0)])
def test_items_of_one_group_count_as_one(n_groups: int, per_group: int, alike: float) -> None:
    def draw(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
        hard, own = rng.normal(size=n), rng.normal(size=(2, n))
        shared = np.repeat(rng.normal(size=(2, n_groups)), per_group, axis=1)
        right = alike**0.5 * shared + (1 - alike) ** 0.5 * own > hard
        return right[0].astype(float), right[1].astype(float)

    check_difference(comparison({"a": n_groups * per_group}, per_group=per_group), draw, 0.0)


@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_items_that_are_measured_in_two_ways_count_once(scale: float) -> None:
    """Right or wrong, and by how far."""
    items = [f"{task}/{i}" for task in "am" for i in range(100)]
    objectives = tuple(Objective(task, (task,)) for task in "am")
    compared = PairedComparison(objectives, {i: i[0] for i in items}, {i: i[2:] for i in items})
    rng, found = np.random.default_rng(0), []
    for _ in range(RUNS):
        ahead = rng.normal(size=(2, 100)) - rng.normal(size=100)
        scores = (ItemScores(tuple(items), np.concatenate([one > 0.0, scale * one])) for one in ahead)
        found.append(compared.of_means(*scores))
    assert shares_covered(found, 0.0)[0] >= LEAST


def test_items_of_one_group_that_count_as_several_are_not_covered() -> None:
    """What the group is for: the same items, each asked twice."""
    rng, twice = np.random.default_rng(0), comparison({"a": 100})
    found = []
    for _ in range(RUNS):
        a, b = np.repeat(rng.random((2, 50)) < 0.5, 2, axis=1).astype(float)
        found.append(twice.of_means(ItemScores(tuple(twice.task_of), a), ItemScores(tuple(twice.task_of), b)))
    assert shares_covered(found, 0.0)[0] < 0.9


def test_many_small_tasks_have_the_interval_of_one_large_one() -> None:
    u = np.random.default_rng(3).random(285)
    a, b = (u < 0.12).astype(float), ((u >= 0.12) & (u < 0.24)).astype(float)
    small, large = comparison({f"t{i}": 5 for i in range(57)}, together=True), comparison({"a": 285})
    widths = []
    for compared in (small, large):
        items = tuple(compared.task_of)
        found = compared.of_means(ItemScores(items, a), ItemScores(items, b))
        widths.append(found.high - found.low)
    assert widths[0] == pytest.approx(widths[1], rel=0.05)


@pytest.mark.parametrize("n_items", [20, 50, 100, 300])
@pytest.mark.parametrize("rate", [0.5, 0.7, 0.9, 0.95, 0.99])
def test_the_interval_of_one_models_accuracy_covers_its_true_rate(rate: float, n_items: int) -> None:
    compared = comparison({"a": n_items})
    items = tuple(compared.task_of)
    rights = np.random.default_rng(1).binomial(n_items, rate, 4 * RUNS)
    known = {n: compared.mean(ItemScores(items, np.arange(n_items) < n)) for n in np.unique(rights)}
    covered, too_high, too_low = shares_covered([known[n] for n in rights], rate)
    assert covered >= LEAST
    assert max(too_high, too_low) <= MOST_AT_AN_END
    assert all(0.0 <= d.low <= d.value <= d.high <= 1.0 for d in known.values())


@pytest.mark.parametrize("n_items", [20, 100, 300])
@pytest.mark.parametrize("rate", [0.5, 0.9, 0.99])
def test_the_limits_of_an_objective_by_its_standard_error_alone_cover_its_true_rate(rate: float, n_items: int) -> None:
    items = tuple(f"a/{i}" for i in range(n_items))
    splits = Splits({"search": items})
    estimator = MeanEstimator([Objective("a", ("a",))], task_of=dict.fromkeys(items, "a"), splits=splits)
    rights = np.random.default_rng(1).binomial(n_items, rate, 4 * RUNS)
    limits = {}
    for n in np.unique(rights):
        (found,) = estimator.estimate(ItemScores(items, (np.arange(n_items) < n).astype(float))).objectives
        limits[n] = limits_of_objective(found)
        exact = stats.binomtest(int(n), n_items).proportion_ci(method="exact")
        assert exact.low <= limits[n][0] <= found.value <= limits[n][1] <= exact.high
    low, high = np.array([limits[n] for n in rights]).T
    assert np.mean((low <= rate) & (rate <= high)) >= LEAST


def test_its_limits_lie_between_those_of_clopper_and_pearson_and_wilsons() -> None:
    """Of 45 right answers to 50 items."""
    compared = comparison({"a": 50})
    found = compared.mean(ItemScores(tuple(compared.task_of), np.arange(50) < 45))
    exact = stats.binomtest(45, 50).proportion_ci(method="exact")
    assert exact.low < found.low < found.high < exact.high
    wilson = stats.binomtest(45, 50).proportion_ci(method="wilson")
    assert (found.low, found.high) == pytest.approx((wilson.low, wilson.high), abs=0.012)


@pytest.mark.parametrize("drop", [0.1, 0.5, 0.9])
def test_a_graded_mean_allows_for_rare_failures_that_were_not_seen(drop: float) -> None:
    compared = comparison({"a": 50})
    items, rng = tuple(compared.task_of), np.random.default_rng(2)
    draws = (np.where(rng.random(50) < 0.03, 0.9 - drop, 0.9 + 0.02 * rng.random(50)) for _ in range(RUNS))
    found = [compared.mean(ItemScores(items, values)) for values in draws]
    assert shares_covered(found, 0.97 * 0.91 + 0.03 * (0.9 - drop))[0] >= LEAST
