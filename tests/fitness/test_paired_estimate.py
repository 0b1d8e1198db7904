"""What a stopped candidate would reach: its rival's estimate and their paired difference."""

import numpy as np
import pytest

from fitness.estimators import Objective
from fitness.paired_estimate import paired_estimate
from fitness.scores import Estimate, ItemScores, ObjectiveEstimate

ITEMS = ("a/0", "b/0", "a/1", "b/1", "a/2", "b/2", "a/3", "c/0")
TASK_OF = {item: item[0] for item in ITEMS}
OBJECTIVES = (Objective("ab", ("a", "b")), Objective("c", ("c",)))
WHOLE = Estimate("search", (ObjectiveEstimate("ab", 0.7, 0.03, 7), ObjectiveEstimate("c", 0.4, 0.05, 1)))


def estimated(mine: list[float], theirs: list[float]) -> Estimate:
    scores = ItemScores(ITEMS[: len(mine)], np.array(mine))
    rival = ItemScores(ITEMS, np.array(theirs))
    return paired_estimate(scores, rival, WHOLE, objectives=OBJECTIVES, task_of=TASK_OF)


def test_every_task_counts_as_in_a_full_score() -> None:
    # Of four items of a and three of b, two each: -0.5 and -0.5, -0.5 and 0.
    found = estimated([0.5, 0.5, 0.5, 1], [1, 1, 1, 1, 0, 0, 0, 0])
    a, b = 1 / 8, 1 / 6
    assert found.objectives[0].value == pytest.approx(0.7 + (a * -1 + b * -0.5) / (2 * a + 2 * b), abs=1e-12)
    assert (found.objectives[0].n_items, found.objectives[0].kind, found.split) == (4, "estimated", "search")


def test_an_objective_without_answers_has_its_rivals_value_and_a_large_error() -> None:
    c = estimated([0, 0, 0, 1], [1, 1, 1, 1, 0, 0, 0, 0]).objectives[1]
    assert (c.value, c.n_items) == (0.4, 0)
    assert c.stderr == pytest.approx(np.hypot(0.05, 1.0))


def test_accuracies_stay_in_their_range_and_other_scores_need_not() -> None:
    assert estimated([0, 0, 0, 0], [1] * 8).objectives[0].value == 0.0
    assert estimated([-3, -3, -3, -3], [1] * 8).objectives[0].value == pytest.approx(-3.3)


def test_the_estimate_is_right_on_average_where_the_raw_mean_is_not() -> None:
    """Easy items first: a raw mean is far too high, the paired estimate is not."""
    rng = np.random.default_rng(0)
    items = tuple(f"a/{i}" for i in range(200))
    objectives, task_of = (Objective("a", ("a",)),), dict.fromkeys(items, "a")
    difficulty = np.linspace(0.95, 0.25, 200)
    errors, raw, stderrs = [], [], []
    for _ in range(200):
        rival, mine = ((rng.random(200) < difficulty - gap).astype(float) for gap in (0.0, 0.15))
        whole = Estimate("search", (ObjectiveEstimate("a", float(rival.mean()), 0.03, 200),))
        scores = ItemScores(items[:50], mine[:50])
        found = paired_estimate(scores, ItemScores(items, rival), whole, objectives=objectives, task_of=task_of)
        errors.append(found.objectives[0].value - mine.mean())
        raw.append(mine[:50].mean() - mine.mean())
        stderrs.append(found.objectives[0].stderr)
    assert abs(np.mean(errors)) < 0.02
    assert np.mean(raw) > 0.2
    assert np.std(errors) < np.mean(stderrs)
