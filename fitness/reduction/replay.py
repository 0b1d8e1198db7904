"""Leave-models-out: every known model estimated from a few items, by parameters that it had no part in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fitness.errors import FitnessError
from fitness.estimation.item_response import BankTask, ItemBank, Respondent, Seen
from fitness.estimation.response_model import FittedModel, ItemParameters
from fitness.estimation.task_estimates import SMALLEST_BIAS2, Estimator
from fitness.reduction.anchors import Anchors, Method, TaskResponses, choose_anchors
from fitness.reduction.dimension import Fitter
from fitness.reduction.response_matrix import ResponseMatrix, TaskItems, bounded
from fitness.typing import Floats

N_FOLDS = 5
FEWEST_MODELS = 10
MIXTURE_RIDGES = (0.5, 2.0, 8.0, 32.0)


@dataclass(frozen=True, eq=False)
class Fold:
    """One part of the models, and a bank fitted to the others."""

    held_out: NDArray[np.intp]  # rows of the matrix
    bank: ItemBank  # of the other rows
    responses: tuple[TaskResponses, ...]  # by task: what anchors are chosen from


@dataclass(frozen=True, eq=False)
class Replayed:
    """Estimates of all held-out models by one choice of anchors and one estimator."""

    values: Floats  # (n_models, n_objectives)
    variances: Floats  # (n_models, n_objectives) of the errors, as the formulas say
    task_values: Floats  # (n_models, n_tasks)
    task_variances: Floats  # (n_models, n_tasks)


@dataclass(frozen=True, eq=False)
class Mixture:
    """What replaying says of mp-IRT."""

    ridge: float  # precision of its prior
    bias2: Floats  # (n_tasks,) mean squared errors beyond its variance, at least 1e-4


def fit_bank(
    matrix: ResponseMatrix, tasks: TaskItems, fitter: Fitter, *, endpoints: Sequence[str], rows: NDArray[np.intp]
) -> tuple[ItemBank, tuple[TaskResponses, ...]]:
    """Fit the response model of all tasks with scores in [0, 1] to some rows; other tasks have none.

    Returns the bank, and each task's responses with its own part of the fit.
    """
    scores = matrix.scores[rows]
    modelled = [bounded(matrix.scores[:, items]) for items in tasks.items]
    n_items, n_models = scores.shape[1], len(rows)
    parameters = ItemParameters(np.zeros((n_items, fitter.dims)), np.zeros(n_items), tasks.guessing.copy())
    abilities = np.zeros((n_models, fitter.dims))
    if any(modelled):
        chosen = np.sort(np.concatenate([items for items, yes in zip(tasks.items, modelled, strict=True) if yes]))
        fitted = fitter(scores[:, chosen], chosen)
        parameters.discriminations[chosen] = fitted.items.discriminations
        parameters.intercepts[chosen] = fitted.items.intercepts
        parameters.guessing[chosen] = fitted.items.guessing
        abilities = fitted.abilities
    names = [matrix.models[int(row)] for row in rows]
    known = {name: abilities[names.index(name)] for name in endpoints if name in names}
    bank_tasks = tuple(
        BankTask(name, items, yes, response_variance=float(np.nanvar(scores[:, items], axis=1).mean()))
        for name, items, yes in zip(tasks.names, tasks.items, modelled, strict=True)
    )
    responses = tuple(
        TaskResponses(scores[:, items], FittedModel(parameters.of(items), abilities, fitter.form))
        for items in tasks.items
    )
    knows_shares = all(name in matrix.shares for name in matrix.models if name not in endpoints)
    return ItemBank(parameters, known, bank_tasks, knows_shares=knows_shares), responses


def make_folds(
    matrix: ResponseMatrix,
    tasks: TaskItems,
    fitter: Fitter,
    *,
    endpoints: Sequence[str],
    irt_errors: Floats,
    rng: np.random.Generator,
) -> list[Fold]:
    """Hold out every model but the endpoints once, a fifth at a time."""
    others = held_out_rows(matrix, endpoints)
    folds = []
    for part in np.array_split(rng.permutation(others), N_FOLDS):
        rows = np.setdiff1d(np.arange(len(matrix.models)), part)
        bank, responses = fit_bank(matrix, tasks, fitter, endpoints=endpoints, rows=rows)
        folds.append(Fold(np.sort(part), with_constants(bank, irt_errors=irt_errors), responses))
    return folds


def held_out_rows(matrix: ResponseMatrix, endpoints: Sequence[str]) -> NDArray[np.intp]:
    """Return the rows that are no endpoint's."""
    rows = np.array([i for i, name in enumerate(matrix.models) if name not in endpoints], dtype=np.intp)
    if len(rows) < FEWEST_MODELS:
        raise FitnessError(
            f"response matrix: expected at least {FEWEST_MODELS} models besides the parents, to hold some out, "
            f"found {len(rows)}"
        )
    return rows


def with_constants(bank: ItemBank, *, irt_errors: Floats | None = None, mixture: Mixture | None = None) -> ItemBank:
    """Return the bank with other constants."""
    tasks = list(bank.tasks)
    if irt_errors is not None:
        tasks = [replace(task, irt_error=float(b)) for task, b in zip(tasks, irt_errors, strict=True)]
    if mixture is None:
        return replace(bank, tasks=tuple(tasks))
    tasks = [replace(task, mixture_bias2=float(b)) for task, b in zip(tasks, mixture.bias2, strict=True)]
    return replace(bank, tasks=tuple(tasks), mixture_ridge=mixture.ridge)


def anchors_of(
    responses: Sequence[TaskResponses], method: Method, sizes: Sequence[int], rng: np.random.Generator
) -> list[Anchors]:
    """Choose each task's anchors."""
    return [choose_anchors(method, task, n, rng) for task, n in zip(responses, sizes, strict=True)]


def seen_by(scores: Floats, bank: ItemBank, anchors: Sequence[Anchors]) -> list[Seen]:
    """Return what one model's (n_items,) scores, NaN where missing, show on each task's anchors.

    Where they show nothing of a task, all that there is of it.
    """
    found = []
    for task, chosen in zip(bank.tasks, anchors, strict=True):
        items, weights = task.items[chosen.items], chosen.weights
        known = np.isfinite(scores[items])
        if not known.any():
            items = task.items[np.isfinite(scores[task.items])]
            weights, known = np.ones(len(items)), np.ones(len(items), dtype=bool)
        found.append(Seen(items[known], scores[items[known]], weights[known]))
    return found


def replay(
    matrix: ResponseMatrix,
    tasks: TaskItems,
    folds: Sequence[Fold],
    anchors: Sequence[Sequence[Anchors]],
    *,
    estimators: Sequence[Estimator],
) -> Mapping[Estimator, Replayed]:
    """Estimate every held-out model, with one choice of anchors per fold; rows of other models stay NaN."""
    shape = (len(estimators), len(matrix.models), len(tasks.names))
    values, variances = np.full(shape, np.nan), np.full(shape, np.nan)
    for fold, chosen in zip(folds, anchors, strict=True):
        for row in fold.held_out:
            shares = matrix.shares.get(matrix.models[int(row)]) if fold.bank.knows_shares else None
            respondent = Respondent(fold.bank, seen_by(matrix.scores[row], fold.bank, chosen), shares)
            for e, estimator in enumerate(estimators):
                found = [respondent.estimate(t, estimator) for t in range(len(tasks.names))]
                values[e, row] = [estimate.value for estimate in found]
                variances[e, row] = [estimate.variance for estimate in found]
    return {
        estimator: Replayed(values[e] @ tasks.shares.T, variances[e] @ (tasks.shares**2).T, values[e], variances[e])
        for e, estimator in enumerate(estimators)
    }


def fit_mixture(
    matrix: ResponseMatrix, tasks: TaskItems, folds: Sequence[Fold], anchors: Sequence[Sequence[Anchors]]
) -> Mixture:
    """Return the prior's precision with which mp-IRT errs least on held-out models, and how much it errs then."""
    full = np.stack([np.nanmean(matrix.scores[:, items], axis=1) for items in tasks.items], axis=1)
    found: list[tuple[float, Mixture]] = []
    for ridge in MIXTURE_RIDGES:
        ridged = [Fold(f.held_out, replace(f.bank, mixture_ridge=ridge), f.responses) for f in folds]
        replayed = replay(matrix, tasks, ridged, anchors, estimators=("mp-irt",))["mp-irt"]
        squares = (replayed.task_values - full) ** 2
        beyond = np.nanmean(squares - replayed.task_variances, axis=0)
        found.append((float(np.nanmean(squares)), Mixture(ridge, np.maximum(beyond, SMALLEST_BIAS2))))
    return min(found, key=lambda pair: pair[0])[1]
