"""The fast part of the experiment on picked candidates: searches on a split of the real matrix."""

from __future__ import annotations

import numpy as np

from experiments.reduction.draws import read_benchmark
from experiments.reduction.selected_estimates import MATRIX, PARENTS, rows_of, searched, split


def test_on_real_merges_the_best_observed_scores_are_too_high_and_the_expected_ones_less_so() -> None:
    benchmark = read_benchmark(MATRIX, PARENTS)
    picks = [pick for seed in range(3) for pick in searched(benchmark, split(benchmark, 0.1, seed), [seed])]
    assert len(picks) == 3 * 2 * (3 + 3)  # observed and expected; three objectives of the best mean, and three bests
    over = {kind: np.mean([p.over for p in picks if p.kind == kind]) for kind in ("observed", "expected")}
    assert over["expected"] < over["observed"] - 0.01
    assert [row[:2] for row in rows_of(picks)[1:]] == [
        ("a search split, 10 % of the items", "mean"),
        ("a search split, 10 % of the items", "objective"),
    ]
