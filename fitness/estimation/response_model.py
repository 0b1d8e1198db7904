"""How likely a model is to get an item right: item parameters, and fitting them to a response matrix.

The model (Reckase, Multidimensional Item Response Theory, 2009, eq. 4.5, with a fixed guessing floor c):

    P(y = 1) = c_i + (1 - c_i) sigma(a_i . gamma_m + o_i)

with `gamma` a model's abilities, `a` an item's discriminations and `o` its intercept. 1PL: one common `a`; 2PL: c = 0;
3PL: c given, one over the number of choices. Scores between 0 and 1 enter by quasi-likelihood, missing ones not at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fitness.errors import FitnessError
from fitness.estimation.link import log_likelihood, predicted, score_slope
from fitness.typing import Floats

Form = Literal["1pl", "2pl", "3pl"]
# Standard deviations of the ridge priors: of discriminations, of intercepts. Abilities are N(0, I).
DISCRIMINATION_SD, INTERCEPT_SD = 1.0, 3.0
_LEAST_SPREAD = 0.05  # of discriminations that are known, where they are nearly the same


@dataclass(frozen=True, eq=False)
class ItemParameters:
    """What is known of each item."""

    discriminations: Floats  # (n_items, dims) `a`; may be negative
    intercepts: Floats  # (n_items,) `o`; higher is easier. The textbook's difficulty is `-o`.
    guessing: Floats  # (n_items,) `c` in [0, 1)

    def __post_init__(self) -> None:
        n, found = len(self.intercepts), (self.discriminations.shape, self.intercepts.shape, self.guessing.shape)
        if self.discriminations.ndim != 2 or found != ((n, self.dims), (n,), (n,)):
            raise FitnessError(f"item parameters: expected shapes (n, dims), (n,), (n,), found {found}")
        if not all(np.isfinite(part).all() for part in (self.discriminations, self.intercepts, self.guessing)):
            raise FitnessError("item parameters: expected finite numbers, found others")

    @classmethod
    def from_py_irt(cls, discriminations: Floats, difficulties: Floats) -> ItemParameters:
        """Return what `multidim_2pl` of the py-irt that tinyBenchmarks uses means.

        There one difficulty stands in every dimension's term, sum_d (a_d gamma_d - b): the intercept is -dims * b.
        """
        a, b = np.asarray(discriminations, dtype=np.float64), np.asarray(difficulties, dtype=np.float64)
        return cls(a, -a.shape[1] * b, np.zeros(len(b)))

    @property
    def dims(self) -> int:
        """How many abilities a model has."""
        return int(self.discriminations.shape[1])

    @property
    def py_irt_difficulties(self) -> Floats:
        """Return (n_items,) `b` of `from_py_irt`."""
        return -self.intercepts / self.dims

    def of(self, items: NDArray[np.intp] | Sequence[int]) -> ItemParameters:
        """Return the parameters of some items, by index."""
        chosen = np.asarray(items, dtype=np.intp)
        return ItemParameters(self.discriminations[chosen], self.intercepts[chosen], self.guessing[chosen])

    def probabilities(self, abilities: Floats) -> Floats:
        """Return (n_models, n_items) chances of a right answer, for (n_models, dims) abilities."""
        return predicted(abilities @ self.discriminations.T + self.intercepts, self.guessing)


@dataclass(frozen=True, eq=False)
class FittedModel:
    """Items and models of one response matrix."""

    items: ItemParameters  # their parameters
    abilities: Floats  # (n_models, dims), with mean 0 and covariance I over the models
    form: Form  # what was fitted


def fit(
    responses: Floats, form: Form = "2pl", *, dims: int = 1, guessing: Floats | None = None, iterations: int = 150
) -> FittedModel:
    """Fit abilities and item parameters together by maximum a posteriori.

    Ridge priors keep everything finite: gamma ~ N(0, 1), a ~ N(0, 1) (1PL: the one common a), o ~ N(logit of the
    item's mean, 3^2). Axes are then fixed: abilities are whitened and turned to the principal axes of what they
    explain, most first, and each axis points where models get more items right.

    Args:
        responses: (n_models, n_items) scores in [0, 1]; NaN where a model did not see an item.
        form: 1pl and 3pl have one dimension and any number of them.
        dims: number of abilities, at least 1; 1 with 1pl.
        guessing: (n_items,) floors in [0, 1) of a 3pl.
        iterations: at most so many L-BFGS steps.

    Raises:
        FitnessError: a score outside [0, 1], a model or item without scores, or arguments that do not fit together.
    """
    scores, floors = _checked(responses, form, dims, guessing)
    problem = _Problem(scores, floors, form, dims)
    from scipy.optimize import minimize

    found = minimize(problem.loss, problem.start(), jac=True, method="L-BFGS-B", options={"maxiter": iterations})
    a, intercepts, abilities = problem.unpack(found.x)
    discriminations = np.repeat(a, scores.shape[1], axis=0) if form == "1pl" else a
    return _anchored(discriminations, intercepts, abilities, floors, form)


def fit_beside(responses: Floats, known: ItemParameters, is_known: NDArray[np.bool_]) -> FittedModel:
    """Fit abilities, and parameters of the items that are not known, beside known ones that are held fixed.

    Fixed-parameter calibration (Kim, J. Educational Measurement 43, 2006): abilities are N(0, I), as in `fit`, on the
    scale of the known parameters, and new items come onto it. Their discriminations are as likely as the known items'
    are (normal, of their mean and spread), which few models cannot outvote; intercepts have the prior of `fit`.

    Args:
        responses: (n_models, n_items) scores in [0, 1]; NaN where a model did not see an item.
        known: of all items; of new ones only the guessing floors count.
        is_known: (n_items,) which are held fixed.

    Raises:
        FitnessError: a score outside [0, 1], a model without scores, or a new item without any.
    """
    scores = np.where(np.isfinite(responses), responses, np.nan)
    _check_range(scores)
    _check_seen(scores[:, ~is_known], axes=("item",) if (~is_known).any() else ())
    _check_seen(scores, axes=("model",))
    slopes, n_new, dims = known.discriminations[is_known], int((~is_known).sum()), known.dims
    prior = slopes.mean(axis=0), np.maximum(slopes.std(axis=0), _LEAST_SPREAD)
    problem = _Problem(scores, known.guessing, "3pl", dims, prior)

    def whole(point: Floats) -> Floats:
        a, o = known.discriminations.copy(), known.intercepts.copy()
        a[~is_known] = point[: n_new * dims].reshape(n_new, dims)
        o[~is_known] = point[n_new * dims : n_new * (dims + 1)]
        return np.concatenate([a.ravel(), o, point[n_new * (dims + 1) :]])

    def loss(point: Floats) -> tuple[float, Floats]:
        value, gradient = problem.loss(whole(point))
        by_a, by_o, by_gamma = problem.unpack(gradient)
        return value, np.concatenate([by_a[~is_known].ravel(), by_o[~is_known], by_gamma.ravel()])

    from scipy.optimize import minimize

    start = np.concatenate([np.tile(prior[0], n_new), problem.centres[~is_known], np.zeros(len(scores) * dims)])
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 300})
    a, o, gamma = problem.unpack(whole(found.x))
    return FittedModel(ItemParameters(a, o, known.guessing), gamma, "3pl")


class _Problem:
    """The negative log posterior of a response matrix and its gradient, over one flat vector."""

    def __init__(
        self, scores: Floats, guessing: Floats, form: Form, dims: int, slopes: tuple[Floats, Floats] | None = None
    ) -> None:
        # mean and standard deviation of the prior of discriminations, (dims,) each
        plain: tuple[Floats, Floats] = (np.zeros(dims), np.full(dims, DISCRIMINATION_SD))
        self._mean, self._sd = slopes or plain
        self._observed = np.isfinite(scores)
        self._scores = np.where(self._observed, scores, 0.0)
        self._guessing = guessing
        n_models, n_items = scores.shape
        self._shapes = ((1 if form == "1pl" else n_items, dims), (n_items,), (n_models, dims))
        rates = (self._scores.sum(axis=0) + 0.5) / (self._observed.sum(axis=0) + 1.0)
        above = np.clip((rates - guessing) / (1.0 - guessing), 0.02, 0.98)
        self.centres = np.log(above) - np.log1p(-above)

    def start(self) -> Floats:
        """Return a point from the principal axes of the residuals."""
        rates = self._scores.sum(axis=0) / self._observed.sum(axis=0)
        spread = np.sqrt(np.maximum(rates * (1.0 - rates), 0.01))
        residuals = np.where(self._observed, self._scores - rates, 0.0) / spread
        u, s, v = _leading(residuals, self._shapes[2][1])
        scale = np.sqrt(len(residuals))
        slopes = (v * s[:, None]).T / scale * 2.0
        abilities = u * scale
        if self._shapes[0][0] == 1:
            slopes = np.abs(slopes).mean(axis=0, keepdims=True)
            abilities = abilities * np.sign((v.sum(axis=1) >= 0) - 0.5)
        return np.concatenate([slopes.ravel(), self.centres, abilities.ravel()])

    def unpack(self, point: Floats) -> tuple[Floats, Floats, Floats]:
        """Return (n_items or 1, dims) discriminations, (n_items,) intercepts and (n_models, dims) abilities."""
        sizes = [int(np.prod(shape)) for shape in self._shapes]
        a, o, gamma = np.split(point, np.cumsum(sizes)[:-1])
        return a.reshape(self._shapes[0]), o, gamma.reshape(self._shapes[2])

    def loss(self, point: Floats) -> tuple[float, Floats]:
        """Return minus the log posterior, and its gradient."""
        a, o, gamma = self.unpack(point)
        eta = gamma @ a.T + o
        likelihood = float(log_likelihood(self._scores, eta, self._guessing)[self._observed].sum())
        slope = np.where(self._observed, score_slope(self._scores, eta, self._guessing), 0.0)
        ridge = (((a - self._mean) / self._sd) ** 2).sum() + (((o - self.centres) / INTERCEPT_SD) ** 2).sum()
        by_item = slope.T @ gamma
        gradients = (
            (a - self._mean) / self._sd**2 - (by_item.sum(axis=0, keepdims=True) if len(a) == 1 else by_item),
            (o - self.centres) / INTERCEPT_SD**2 - slope.sum(axis=0),
            gamma - slope @ np.broadcast_to(a, (slope.shape[1], a.shape[1])),
        )
        loss = 0.5 * float(ridge + (gamma**2).sum()) - likelihood
        return loss, np.concatenate([gradient.ravel() for gradient in gradients])


def _leading(matrix: Floats, dims: int) -> tuple[Floats, Floats, Floats]:
    u, s, v = np.linalg.svd(matrix, full_matrices=False)
    missing = max(0, dims - len(s))
    u, s, v = np.pad(u, ((0, 0), (0, missing))), np.pad(s, (0, missing)), np.pad(v, ((0, missing), (0, 0)))
    return u[:, :dims], s[:dims], v[:dims]


def _anchored(a: Floats, o: Floats, gamma: Floats, guessing: Floats, form: Form) -> FittedModel:
    """Return the same probabilities with whitened abilities, principal axes and signs that mean "better"."""
    mean = gamma.mean(axis=0)
    centred = gamma - mean
    _, s, v = np.linalg.svd(centred, full_matrices=False)
    # A dimension that no model uses keeps its scale: there is nothing to whiten.
    scale = np.where(s > 1e-9 * max(1.0, float(s[0])), s / np.sqrt(len(gamma)), 1.0)
    whitened, slopes = centred @ v.T / scale, a @ v.T * scale
    turn = np.linalg.svd(slopes, full_matrices=True)[2] if form != "1pl" else np.eye(slopes.shape[1])
    whitened, slopes = whitened @ turn.T, slopes @ turn.T
    signs = np.where(slopes.sum(axis=0) < 0.0, -1.0, 1.0)
    return FittedModel(ItemParameters(slopes * signs, o + a @ mean, guessing), whitened * signs, form)


def _checked(responses: Floats, form: Form, dims: int, guessing: Floats | None) -> tuple[Floats, Floats]:
    scores = np.asarray(responses, dtype=np.float64)
    if scores.ndim != 2 or min(scores.shape, default=0) < 1 or len(scores) < 2:
        raise FitnessError(f"responses: expected (n_models >= 2, n_items >= 1), found shape {scores.shape}")
    _check_range(scores)
    _check_seen(scores, axes=("item", "model"))
    if dims < 1 or (form == "1pl" and dims > 1):
        raise FitnessError(f"dims: expected {'1 with 1pl' if form == '1pl' else 'at least 1'}, found {dims}")
    floors = np.zeros(scores.shape[1]) if guessing is None else np.asarray(guessing, dtype=np.float64)
    if (form == "3pl") != (guessing is not None) or floors.shape != (scores.shape[1],):
        raise FitnessError("guessing: expected (n_items,) floors with 3pl and none with another form, found otherwise")
    if not ((floors >= 0.0) & (floors < 1.0)).all():
        raise FitnessError(f"guessing: expected floors in [0, 1), found {floors.max()}")
    return scores, floors


def _check_range(scores: Floats) -> None:
    seen = np.isfinite(scores)
    if np.isinf(scores).any() or (scores[seen] < 0.0).any() or (scores[seen] > 1.0).any():
        raise FitnessError("responses: expected scores in [0, 1], or NaN where there is none, found others")


def _check_seen(scores: Floats, axes: Sequence[str]) -> None:
    seen = np.isfinite(scores)
    for what in axes:
        some = seen.any(axis=0 if what == "item" else 1)
        if not some.all():
            index = int(np.flatnonzero(~some)[0])
            raise FitnessError(f"responses: expected scores of every {what}, found none of number {index}")
