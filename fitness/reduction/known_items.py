"""Banks of answers: joined, and fitted, so that their items' parameters are known."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from fitness.errors import FitnessError
from fitness.estimation.response_model import ItemParameters
from fitness.reduction.dimension import choose_shape, fit_shape
from fitness.reduction.replay import FEWEST_MODELS
from fitness.reduction.response_matrix import ResponseMatrix, TaskItems, bounded


def join_matrices(matrices: Sequence[ResponseMatrix]) -> ResponseMatrix:
    """Return one matrix on the same items; of a model's two scores of one item the first counts."""
    models = tuple(dict.fromkeys(model for matrix in matrices for model in matrix.models))
    place = {model: i for i, model in enumerate(models)}
    scores = np.full((len(models), len(matrices[0].items)), np.nan)
    for matrix in matrices:
        rows = np.array([place[model] for model in matrix.models], dtype=np.intp)
        scores[rows] = np.where(np.isfinite(scores[rows]), scores[rows], matrix.scores)
    return ResponseMatrix(models, matrices[0].items, scores)


def fit_answers(
    matrix: ResponseMatrix, tasks: TaskItems, say: Callable[[str], object] = lambda _: None
) -> tuple[NDArray[np.intp], ItemParameters]:
    """Fit a response model to a bank's answers; returns the indices of the items that it describes, and parameters.

    Args:
        matrix: of all items of the benchmark, NaN where the bank has no answer; ten models or more.
        tasks: of the benchmark; one with scores beyond [0, 1] has no response model.
        say: told what is fitted.
    """
    seen = np.isfinite(matrix.scores)
    modelled = [items for items in tasks.items if seen[:, items].any() and bounded(matrix.scores[:, items])]
    items = np.sort(np.concatenate(modelled)) if modelled else np.empty(0, dtype=np.intp)
    items = items[seen[:, items].any(axis=0)]
    scores = matrix.scores[:, items]
    scores = scores[np.isfinite(scores).any(axis=1)]
    if len(scores) < FEWEST_MODELS or not len(items):
        raise FitnessError(
            f"bank: expected answers of at least {FEWEST_MODELS} models with scores from 0 to 1, found {len(scores)}"
        )
    floors, parts = tasks.guessing[items], [np.flatnonzero(np.isin(items, of_task)) for of_task in tasks.items]
    held_out = np.arange(len(scores))[::5]
    whole = np.isfinite(np.delete(scores, held_out, axis=0)).any(axis=0)
    fit_on = np.flatnonzero(whole)  # an item that the held-out models alone answered cannot be tried
    trials = choose_shape(
        scores[:, fit_on],
        [np.flatnonzero(np.isin(fit_on, part)) for part in parts if np.isin(fit_on, part).any()],
        held_out=held_out,
        guessing=floors[fit_on],
    )
    say(f"the bank's {len(scores)} models: {trials[0].shape} of {len(items)} items")
    return items, fit_shape(trials[0].shape, scores, floors).items
