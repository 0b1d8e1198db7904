"""The table of power: its three ways to call a winner better, and what the committed table has to keep."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import experiments.reduction
from experiments.reduction.power import found_by_lm_eval, found_by_mcnemar, found_by_verdict, verdict
from experiments.reduction.simulated_worlds import GROUPS

COUNTS = st.tuples(st.integers(0, 30), st.integers(0, 30), st.integers(60, 120))


def counts(*values: int) -> tuple[np.ndarray, ...]:
    return tuple(np.array([value]) for value in values)


@settings(max_examples=40, deadline=None)
@given(COUNTS)
def test_more_gains_are_found_where_fewer_are_and_the_verdict_is_the_real_one(drawn: tuple[int, int, int]) -> None:
    gained, lost, n_items = drawn
    assert bool(found_by_verdict(*counts(gained, lost), n_items)[0]) == verdict(gained, lost, n_items)


@settings(max_examples=40, deadline=None)
@given(COUNTS)
def test_mcnemar_is_the_exact_binomial_test(drawn: tuple[int, int, int]) -> None:
    gained, lost, _ = drawn
    p = stats.binomtest(gained, gained + lost, 0.5).pvalue if gained + lost else 1.0
    assert bool(found_by_mcnemar(*counts(gained, lost))[0]) == (gained > lost and p <= 0.05)


def test_standard_errors_are_lm_evals() -> None:
    mean_stderr = pytest.importorskip("lm_eval.api.metrics").mean_stderr
    rng = np.random.default_rng(0)
    for _ in range(40):
        a, b = (rng.random(80) < rng.random((2, 1))).astype(float)
        error = (mean_stderr(list(a)) ** 2 + mean_stderr(list(b)) ** 2) ** 0.5
        found = found_by_lm_eval(*counts(int(a.sum()), int(b.sum())), 80)
        assert bool(found[0]) == (a.mean() - b.mean() > 1.96 * error)


def test_the_committed_table_keeps_what_is_promised() -> None:
    path = Path(experiments.reduction.__file__).parent / "power.json"
    powers, tasks, rates, differences = json.loads(path.read_text("utf-8")).values()
    for effect, *cells in powers[1:]:
        gained, lost = effect.replace(" %", "").split(", ")
        verdicts = [float(cell.split(" / ")[0]) for cell in cells]
        if gained == lost:
            assert max(verdicts) <= 2.5
        exact = [float(cell.split(" / ")[1]) for cell in cells]
        assert all(e - 6.5 <= v <= e + 0.1 for v, e in zip(verdicts, exact, strict=True))
    for _, one, _, more, _ in tasks[1:]:  # 1.2 times the items find what one task finds
        assert float(more.removesuffix(" %")) >= float(one.removesuffix(" %"))
    assert min(float(cell.split(" / ")[0]) for row in rates[1:] for cell in row[1:]) >= 93.0
    beyond = GROUPS["beyond what is promised"]
    for world, *shares in differences[1:]:
        held, above, below = (float(share.removesuffix(" %")) for share in shares)
        assert (held >= 93.0 and max(above, below) <= 3.5) == (world not in beyond)
