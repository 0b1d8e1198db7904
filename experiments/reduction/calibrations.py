"""Response models for the replay: fitted to some of the merges, used on the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from experiments.reduction.draws import Benchmark
from fitness import ReducedBenchmark, ResponseMatrix, reduce_benchmark
from fitness.estimation.item_response import Respondent, Seen
from fitness.estimation.task_estimates import Estimator

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Calibration:
    """What `evomerge reduce` makes of some merges."""

    benchmark: Benchmark  # all models
    candidates: Indices  # rows of the merges that it does not know
    evaluations: int  # item evaluations that it took: the other merges and the parents, on all items
    reduced: Mapping[int, ReducedBenchmark]  # number of items -> the benchmark reduced to so many, at least one

    def estimates(self, rows: Indices, shown: Indices, estimator: Estimator) -> Floats:
        """Return (n_rows,) macro-averages, estimated from the answers to some items, with equal weights.

        Mixtures of abilities are as suits the nearest number of items.
        """
        nearest = min(self.reduced, key=lambda n: abs(n - len(shown)))
        parts = [np.intersect1d(shown, items) for items in self.benchmark.tasks.items]
        return self._of(rows, nearest, [(items, np.ones(len(items))) for items in parts], estimator)

    def reduced_estimates(self, rows: Indices, n: int) -> Floats:
        """Return (n_rows,) macro-averages as the benchmark of n items itself has them: its items, its estimator."""
        reduced = self.reduced[n]
        weights = np.array([reduced.anchors.get(item, 0.0) for item in reduced.items])
        parts = [task.items[weights[task.items] > 0.0] for task in reduced.bank.tasks]
        return self._of(rows, n, [(items, weights[items]) for items in parts], reduced.estimator)

    def _of(self, rows: Indices, n: int, shown: Sequence[tuple[Indices, Floats]], estimator: Estimator) -> Floats:
        bank, scores = self.reduced[n].bank, self.benchmark.matrix.scores
        found = []
        for row in rows:
            respondent = Respondent(bank, [Seen(items, scores[row, items], weights) for items, weights in shown])
            found.append(np.mean([respondent.estimate(task, estimator).value for task in range(len(shown))]))
        return np.array(found)


def calibrate(benchmark: Benchmark, n_models: int, sizes: Sequence[int], seed: int) -> Calibration:
    """Reduce the benchmark to some sizes by its parents and `n_models` of its merges, drawn at random."""
    order = np.random.default_rng([seed, 1]).permutation(benchmark.merges)
    rows = np.concatenate([benchmark.parents, np.sort(order[:n_models])])
    matrix = benchmark.matrix
    models = tuple(matrix.models[int(row)] for row in rows)
    part = ResponseMatrix(models, matrix.items, matrix.scores[rows])
    reduced = {
        n: reduce_benchmark(
            part, benchmark.tasks, endpoints=models[: len(benchmark.parents)], n_items=n, content="", seed=seed
        )
        for n in sizes
    }
    return Calibration(benchmark, np.sort(order[n_models:]), part.scores.size, reduced)
