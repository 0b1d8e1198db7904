"""A benchmark becomes a small one: fit, calibrate, choose anchors. `reduce_benchmark` does it all."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from fitness.errors import FitnessError
from fitness.reduction.anchors import METHODS, Method
from fitness.reduction.calibration import calibrate
from fitness.reduction.dimension import Shape, Trial, choose_shape
from fitness.reduction.reduced_benchmark import ReducedBenchmark
from fitness.reduction.replay import anchors_of, fit_bank, held_out_rows, make_folds, with_constants
from fitness.reduction.response_matrix import ResponseMatrix, TaskItems, bounded


def reduce_benchmark(
    matrix: ResponseMatrix,
    tasks: TaskItems,
    *,
    endpoints: Sequence[str],
    n_items: int,
    content: str,
    method: Method | None = None,
    seed: int = 0,
    say: Callable[[str], object] = lambda _: None,
) -> ReducedBenchmark:
    """Reduce a benchmark to `n_items` of its items.

    Args:
        matrix: scores of at least ten models besides the endpoints, on all items.
        tasks: what the items make up.
        endpoints: names of the models that are merged, as far as the matrix has them.
        n_items: items per candidate, from one per task to all.
        content: digest of the items' content, kept with the result.
        method: how anchors are chosen; None: whichever predicts held-out models best.
        seed: of folds, anchors and random subsets.
        say: told what is going on.

    Raises:
        FitnessError: too few models, a number out of range, or a model without a score of some task.
    """
    _check_rows(matrix, tasks)
    tasks.sizes(n_items)
    # Named streams, so that what one step draws does not move another.
    folds_rng, anchors_rng, final_rng = (np.random.default_rng([seed, step]) for step in range(3))
    trial = _chosen_trial(matrix, tasks, endpoints, say)
    say(f"response model: {trial.shape}; replaying {len(held_out_rows(matrix, endpoints))} models")
    folds = make_folds(matrix, tasks, trial.shape, endpoints=endpoints, irt_errors=trial.errors, rng=folds_rng)
    methods = METHODS if method is None else tuple(dict.fromkeys(("uniform", method)))
    calibration, mixture = calibrate(matrix, tasks, folds, n_items=n_items, methods=methods, rng=anchors_rng)
    rows = np.arange(len(matrix.models))
    bank, responses = fit_bank(matrix, tasks, trial.shape, endpoints=endpoints, rows=rows)
    bank = with_constants(bank, irt_errors=trial.errors, mixture=mixture)
    anchors = anchors_of(responses, calibration.anchors, tasks.sizes(n_items), final_rng)
    weights = np.zeros(len(matrix.items))
    for items, chosen in zip(tasks.items, anchors, strict=True):
        weights[items[chosen.items]] = chosen.weights
    return ReducedBenchmark(
        items=matrix.items,
        content=content,
        anchors={matrix.items[i]: float(weights[i]) for i in np.flatnonzero(weights)},
        form=trial.shape.form,
        bank=bank,
        calibration=calibration,
    )


def _chosen_trial(
    matrix: ResponseMatrix, tasks: TaskItems, endpoints: Sequence[str], say: Callable[[str], object]
) -> Trial:
    """Return the best shape, with an error for each task (0 where scores have no response model)."""
    modelled = [t for t, items in enumerate(tasks.items) if bounded(matrix.scores[:, items])]
    errors = np.zeros(len(tasks.names))
    if not modelled:
        return Trial(Shape("1pl", 1), errors)
    chosen = np.sort(np.concatenate([tasks.items[t] for t in modelled]))
    parts = [np.searchsorted(chosen, tasks.items[t]) for t in modelled]
    held_out = held_out_rows(matrix, endpoints)[::5]
    trials = choose_shape(matrix.scores[:, chosen], parts, held_out=held_out, guessing=tasks.guessing[chosen])
    for trial in trials:
        say(f"{trial.shape}: mean absolute error {trial.error:.4f} on hidden items of held-out models")
    errors[modelled] = trials[0].errors
    return Trial(trials[0].shape, errors)


def _check_rows(matrix: ResponseMatrix, tasks: TaskItems) -> None:
    for name, items in zip(tasks.names, tasks.items, strict=True):
        empty = np.flatnonzero(~np.isfinite(matrix.scores[:, items]).any(axis=1))
        if empty.size:
            raise FitnessError(
                f"response matrix: expected scores of every model on task {name!r}, found none of "
                f"{matrix.models[int(empty[0])]!r}: leave the model out"
            )
