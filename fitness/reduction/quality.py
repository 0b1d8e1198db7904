"""How good estimates of held-out models are: error, ranks and regret, fold by fold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fitness.reduction.replay import Fold
from fitness.reduction.response_matrix import ResponseMatrix, TaskItems
from fitness.typing import Floats

RANDOM_DRAWS = 20


@dataclass(frozen=True)
class Quality:
    """How good estimates are of models that the parameters do not know, means over objectives and folds."""

    error: float  # mean absolute error against the score on all items
    kendall: float  # Kendall's tau-b of the models' ranks by estimate and by full score
    regret: float  # full score of the best model minus that of the one with the highest estimate


def random_folds(
    matrix: ResponseMatrix, tasks: TaskItems, folds: Sequence[Fold], sizes: Sequence[int], rng: np.random.Generator
) -> Floats:
    """Return (n_folds, 3) qualities of the plain mean on random subsets."""
    full = tasks.full_scores(matrix.scores)
    draws = []
    for _ in range(RANDOM_DRAWS):
        subsets = [items[rng.permutation(len(items))[:n]] for items, n in zip(tasks.items, sizes, strict=True)]
        means = np.stack([_mean_or_all(matrix.scores, s, items) for s, items in zip(subsets, tasks.items, strict=True)])
        draws.append(by_fold(means.T @ tasks.shares.T, full, folds))
    return np.asarray(np.mean(draws, axis=0))


def _mean_or_all(scores: Floats, subset: NDArray[np.intp], items: NDArray[np.intp]) -> Floats:
    """Return (n_models,) means on a subset; of a model with none of it, on all items that it has."""
    seen = np.isfinite(scores[:, subset])
    sums = np.where(seen, scores[:, subset], 0.0).sum(axis=1)
    means = sums / np.maximum(1, seen.sum(axis=1))
    return np.asarray(np.where(seen.any(axis=1), means, np.nanmean(scores[:, items], axis=1)))


def by_fold(values: Floats, full: Floats, folds: Sequence[Fold]) -> Floats:
    """Return (n_folds, 3) qualities of (n_models, n_objectives) estimates, columns as in `Quality`."""
    return np.array([_fold_quality(values[fold.held_out], full[fold.held_out]) for fold in folds])


def _fold_quality(values: Floats, full: Floats) -> tuple[float, float, float]:
    from scipy.stats import kendalltau

    taus, regrets = [], []
    for estimate, truth in zip(values.T, full.T, strict=True):
        # All the same: no order to recover, or none told.
        varied = np.ptp(estimate) > 0.0 and np.ptp(truth) > 0.0
        taus.append(float(kendalltau(estimate, truth).statistic) if varied else 0.0)
        regrets.append(float(truth.max() - truth[estimate == estimate.max()].mean()))
    return float(np.abs(values - full).mean()), float(np.mean(taus)), float(np.mean(regrets))


def mean_quality(folds: Floats) -> Quality:
    """Return the mean over (n_folds, 3) qualities."""
    error, kendall, regret = folds.mean(axis=0).tolist()
    return Quality(error, kendall, regret)
