"""A benchmark becomes a small one: fit, calibrate, choose anchors. `reduce_benchmark` does it all."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from fitness.errors import FitnessError
from fitness.reduction.anchors import METHODS, Method
from fitness.reduction.calibration import calibrate
from fitness.reduction.dimension import Fitter, FreshFit, Shape, choose_shape, hidden_errors
from fitness.reduction.linking import KnownItems, LinkedFit
from fitness.reduction.reduced_benchmark import ReducedBenchmark
from fitness.reduction.replay import anchors_of, fit_bank, held_out_rows, make_folds, with_constants
from fitness.reduction.response_matrix import ResponseMatrix, TaskItems, bounded
from fitness.typing import Floats


def reduce_benchmark(  # noqa: PLR0913 -- each is one thing to say
    matrix: ResponseMatrix,
    tasks: TaskItems,
    *,
    endpoints: Sequence[str],
    n_items: int,
    content: str,
    method: Method | None = None,
    known: KnownItems | None = None,
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
        known: items whose parameters come from a bank: they are held fixed, and those of the others fitted beside them;
            None: all are fitted to the matrix.
        seed: of folds, anchors and random subsets.
        say: told what is going on.

    Raises:
        FitnessError: too few models, a number out of range, or a model without a score of some task.
    """
    _check_rows(matrix, tasks)
    tasks.sizes(n_items)
    # Named streams, so that what one step draws does not move another.
    folds_rng, anchors_rng, final_rng = (np.random.default_rng([seed, step]) for step in range(3))
    fitter, errors = (
        _fresh(matrix, tasks, endpoints, say) if known is None else _linked(matrix, tasks, endpoints, known)
    )
    say(f"response model: {fitter.form.upper()} in {fitter.dims} dimension{'s' * (fitter.dims > 1)}")
    say(f"replaying {len(held_out_rows(matrix, endpoints))} models")
    folds = make_folds(matrix, tasks, fitter, endpoints=endpoints, irt_errors=errors, rng=folds_rng)
    methods = METHODS if method is None else tuple(dict.fromkeys(("uniform", method)))
    calibration, mixture = calibrate(matrix, tasks, folds, n_items=n_items, methods=methods, rng=anchors_rng)
    rows = np.arange(len(matrix.models))
    bank, responses = fit_bank(matrix, tasks, fitter, endpoints=endpoints, rows=rows)
    bank = with_constants(bank, irt_errors=errors, mixture=mixture)
    anchors = anchors_of(responses, calibration.anchors, tasks.sizes(n_items), final_rng)
    weights = np.zeros(len(matrix.items))
    for items, chosen in zip(tasks.items, anchors, strict=True):
        weights[items[chosen.items]] = chosen.weights
    return ReducedBenchmark(
        items=matrix.items,
        content=content,
        anchors={matrix.items[i]: float(weights[i]) for i in np.flatnonzero(weights)},
        form=fitter.form,
        bank=bank,
        calibration=calibration,
    )


def _fresh(
    matrix: ResponseMatrix, tasks: TaskItems, endpoints: Sequence[str], say: Callable[[str], object]
) -> tuple[Fitter, Floats]:
    """Return the best shape's fit, with an error for each task (0 where scores have no response model)."""
    modelled, chosen, parts = _modelled(matrix, tasks)
    errors = np.zeros(len(tasks.names))
    if not modelled:
        return FreshFit(Shape("1pl", 1), tasks.guessing), errors
    held_out = held_out_rows(matrix, endpoints)[::5]
    trials = choose_shape(matrix.scores[:, chosen], parts, held_out=held_out, guessing=tasks.guessing[chosen])
    for trial in trials:
        say(f"{trial.shape}: mean absolute error {trial.error:.4f} on hidden items of held-out models")
    errors[modelled] = trials[0].errors
    return FreshFit(trials[0].shape, tasks.guessing), errors


def _linked(
    matrix: ResponseMatrix, tasks: TaskItems, endpoints: Sequence[str], known: KnownItems
) -> tuple[Fitter, Floats]:
    """Return a fit beside a bank's items, with an error for each task as `_fresh` does."""
    fitter, errors = LinkedFit(known, tasks.guessing), np.zeros(len(tasks.names))
    modelled, chosen, parts = _modelled(matrix, tasks)
    if modelled:
        held_out = held_out_rows(matrix, endpoints)[::5]
        fitted = fitter(np.delete(matrix.scores, held_out, axis=0)[:, chosen], chosen)
        errors[modelled] = hidden_errors(fitted, matrix.scores[held_out][:, chosen], parts)
    return fitter, errors


def _modelled(matrix: ResponseMatrix, tasks: TaskItems) -> tuple[list[int], NDArray[np.intp], list[NDArray[np.intp]]]:
    """Return the tasks that a response model can describe, their items, and the places of each task's among these."""
    modelled = [t for t, items in enumerate(tasks.items) if bounded(matrix.scores[:, items])]
    chosen = np.sort(np.concatenate([tasks.items[t] for t in modelled])) if modelled else np.empty(0, dtype=np.intp)
    return modelled, chosen, [np.searchsorted(chosen, tasks.items[t]) for t in modelled]


def _check_rows(matrix: ResponseMatrix, tasks: TaskItems) -> None:
    for name, items in zip(tasks.names, tasks.items, strict=True):
        empty = np.flatnonzero(~np.isfinite(matrix.scores[:, items]).any(axis=1))
        if empty.size:
            raise FitnessError(
                f"response matrix: expected scores of every model on task {name!r}, found none of "
                f"{matrix.models[int(empty[0])]!r}: leave the model out"
            )
