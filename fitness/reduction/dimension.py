"""Which response model a matrix carries: the one that predicts answers of models it has not seen best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fitness.estimation.ability import Coordinates, fit_ability
from fitness.estimation.response_model import FittedModel, Form, fit
from fitness.typing import Floats

MOST_ITEMS = 1000
# A model with more parameters must predict better by at least this share.
WORTH = 0.02


@dataclass(frozen=True)
class Shape:
    """A form of response model with its number of dimensions."""

    form: Form
    dims: int

    def __str__(self) -> str:
        return self.form.upper() if self.dims == 1 else f"{self.dims}-dimensional {self.form.upper()}"


@dataclass(frozen=True, eq=False)
class Trial:
    """How well a shape predicts held-out models."""

    shape: Shape
    errors: Floats  # (n_tasks,) mean over models of |predicted - true mean| on items that the model did not show

    @property
    def error(self) -> float:
        """Return the mean over tasks."""
        return float(self.errors.mean())


def shapes(n_models: int, *, guessing: bool) -> list[Shape]:
    """Return the shapes worth a trial, the simplest first; a dimension needs at least eight models."""
    found = [Shape("1pl", 1)]
    for dims in (1, 2, 3, 5):
        if dims == 1 or n_models >= 8 * dims:
            found += [Shape("2pl", dims), *([Shape("3pl", dims)] if guessing else [])]
    return found


class Fitter(Protocol):
    """Fits a response model to some models' scores of some items of a benchmark."""

    @property
    def dims(self) -> int:
        """How many abilities a model has."""
        ...

    @property
    def form(self) -> Form:
        """What is fitted."""
        ...

    def __call__(self, scores: Floats, chosen: NDArray[np.intp]) -> FittedModel:
        """Return the fit of (n_models, n_chosen) scores, NaN where missing, of the items with these indices."""
        ...


@dataclass(frozen=True, eq=False)
class FreshFit:
    """Fits all parameters; implements `Fitter`."""

    shape: Shape  # of the response model
    guessing: Floats  # (n_items,) floors

    @property
    def dims(self) -> int:
        """How many abilities a model has."""
        return self.shape.dims

    @property
    def form(self) -> Form:
        """What is fitted."""
        return self.shape.form

    def __call__(self, scores: Floats, chosen: NDArray[np.intp]) -> FittedModel:
        """Return the fit of some items."""
        return fit_shape(self.shape, scores, self.guessing[chosen])


def fit_shape(shape: Shape, responses: Floats, guessing: Floats | None) -> FittedModel:
    """Fit a shape; guessing floors are used by a 3pl alone."""
    return fit(responses, shape.form, dims=shape.dims, guessing=guessing if shape.form == "3pl" else None)


def choose_shape(
    responses: Floats, tasks: Sequence[NDArray[np.intp]], *, held_out: NDArray[np.intp], guessing: Floats | None
) -> list[Trial]:
    """Try every shape on held-out models, best first.

    Item parameters come from the other models. A held-out model shows every other item, and the rest is predicted
    from its ability; then the two halves change places. Responses are (n_models, n_items) in [0, 1], NaN where missing;
    `tasks` and `held_out` are indices of items and models; guessing floors are (n_items,).
    """
    step = -(-responses.shape[1] // MOST_ITEMS)
    chosen = np.sort(np.concatenate([task[::step] for task in tasks]))
    place = {int(item): i for i, item in enumerate(chosen)}
    parts = [np.array([place[int(item)] for item in task if int(item) in place], dtype=np.intp) for task in tasks]
    known = np.delete(responses, held_out, axis=0)[:, chosen]
    floors = None if guessing is None else guessing[chosen]
    trials = []
    for shape in shapes(len(known), guessing=guessing is not None and bool(guessing.any())):
        fitted = fit_shape(shape, known, floors)
        trials.append(Trial(shape, hidden_errors(fitted, responses[held_out][:, chosen], parts)))
    best = trials[0]
    for trial in trials[1:]:
        if trial.error < (1.0 - WORTH) * best.error:
            best = trial
    return [best, *sorted((t for t in trials if t is not best), key=lambda t: t.error)]


def hidden_errors(fitted: FittedModel, scores: Floats, tasks: Sequence[NDArray[np.intp]]) -> Floats:
    """Return (n_tasks,) mean errors of models that the fit does not know, as `choose_shape` tries shapes."""
    free = Coordinates.free(fitted.items)
    errors = np.full((len(scores), len(tasks), 2), np.nan)
    for m, row in enumerate(scores):
        seen = np.isfinite(row)
        for half in (0, 1):
            shown = np.concatenate([task[half::2] for task in tasks])
            shown = shown[seen[shown]]
            ability = fit_ability(free.of(shown), row[shown])
            for t, task in enumerate(tasks):
                hidden = task[1 - half :: 2]
                hidden = hidden[seen[hidden]]
                if len(hidden):
                    predicted = free.of(hidden).probabilities(ability.value).mean()
                    errors[m, t, half] = abs(predicted - row[hidden].mean())
    counted = np.isfinite(errors).any(axis=(0, 2))
    means = np.full(len(tasks), float(np.nanmean(errors)))
    means[counted] = np.nanmean(errors[:, counted], axis=(0, 2))
    return means
