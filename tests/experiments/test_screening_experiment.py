from __future__ import annotations

import numpy as np
import pytest

from experiments.reduction.screening import Measured, as_table, results

# Two parents, four prompts of two tasks; what each merge diverges by.
PLACE = "along the answer"
TASKS = ["sort", "sort", "shift", "shift"]


def measured(divergences: np.ndarray) -> Measured:
    experts = {"best parent": {"sort": 0, "shift": 1}, "surest": {"sort": 0, "shift": 0}}
    return Measured({PLACE: divergences.astype(np.float32)}, TASKS, experts)


def test_each_rule_averages_over_the_parents_that_it_takes() -> None:
    divergences = np.array([[[0.1, 0.2, 0.3, 0.4], [0.5, 0.1, 0.2, 0.6]]])
    found = {rule: float(values[0]) for (_, rule), values in measured(divergences).screens().items()}
    assert found == pytest.approx(
        {
            "best parent": (0.1 + 0.2 + 0.2 + 0.6) / 4,
            "surest": (0.1 + 0.2 + 0.3 + 0.4) / 4,
            "nearest": (0.1 + 0.1 + 0.2 + 0.4) / 4,
            "all": (0.1 + 0.2 + 0.3 + 0.4 + 0.5 + 0.1 + 0.2 + 0.6) / 8,
        }
    )


def test_a_screen_that_ranks_as_accuracy_does_keeps_the_best_and_one_that_knows_nothing_does_not() -> None:
    rng = np.random.default_rng(0)
    accuracy = rng.random(200)
    divergences = rng.random((200, 2, 4)) * 0.5
    divergences[:, 0, :2] = divergences[:, 1, 2:] = 0.6 * (1.0 - accuracy[:, None])
    found = {result.expert: result for result in results(measured(divergences), accuracy)}
    best, surest = found["best parent"].correlation, found["surest"].correlation
    assert best is not None
    assert surest is not None
    assert best.value == pytest.approx(1.0)
    assert found["best parent"].best_kept == 1.0
    assert best.low > surest.high
    assert as_table(list(found.values()), 200).row_count == 4
