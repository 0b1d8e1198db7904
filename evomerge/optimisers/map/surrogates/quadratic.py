"""A quadratic surrogate of one objective: a closed-form ridge fit with predictive intervals.

Li et al. 2024, "MAP: Low-compute Model Merging with Amortized Pareto Fronts via Quadratic Approximation" (arXiv
2406.07529), fit sigmoid(quadratic) by gradient descent; on the logit scale the same model is linear in its unknowns, so
one weighted least-squares solve gives the fit and its covariance.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, get_args

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import brentq
from scipy.special import stdtrit

from evomerge.optimisers.map.surrogates.links import Link, Linked, Observations, linked, natural
from evomerge.typing import Floats

Form = Literal["linear", "diagonal", "full"]
FORMS: tuple[Form, ...] = get_args(Form)
# Ridge penalties per unit of weight, weakest first: the first one only keeps the solve regular.
RIDGES = (1e-10, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)
ROUNDS = 20  # of one-sided least squares


def terms(genomes: Floats, form: Form) -> Floats:
    """Return (n, n_terms) terms of (n, dim) genomes in u = 2x - 1: 1, uᵢ; diagonal: and uᵢ²; full: and uᵢuⱼ, i < j."""
    u = 2.0 * np.asarray(genomes, dtype=np.float64) - 1.0
    columns = [np.ones((len(u), 1)), u]
    if form != "linear":
        columns.append(u**2)
    if form == "full":
        first, second = np.triu_indices(u.shape[1], k=1)
        columns.append(u[:, first] * u[:, second])
    return np.concatenate(columns, axis=1)


def n_terms(dim: int, form: Form) -> int:
    """Return how many terms there are; (dim + 1)(dim + 2)/2 for the full quadratic."""
    return {"linear": dim + 1, "diagonal": 2 * dim + 1, "full": (dim + 1) * (dim + 2) // 2}[form]


@dataclass(frozen=True, eq=False)
class QuadraticSurrogate:
    """z(x) = β·terms(x) + δ(x) on the scale of the link; δ is what no quadratic explains, of variance τ²."""

    link: Link  # logit for values in [0, 1], else identity
    form: Form  # which terms there are
    ridge: float  # the penalty that leave-one-out chose
    coefficients: Floats  # (n_terms,) β
    covariance: Floats  # (n_terms, n_terms) of β, posterior under the ridge's prior
    discrepancy: float  # τ², at least 0
    degrees: float  # n less the effective number of unknowns, at least 1
    # share of the (weighted) variance that leave-one-out predictions explain; below 0 when the mean does better
    r2: float
    noise: float  # the middle observation's variance on the scale of the link

    def latent(self, genomes: Floats) -> tuple[Floats, Floats]:
        """Return (n,) means and standard deviations, τ² included, on the scale of the link."""
        x = terms(genomes, self.form)
        variances = np.einsum("ij,jk,ik->i", x, self.covariance, x)
        return x @ self.coefficients, np.sqrt(np.maximum(variances, 0.0) + self.discrepancy)

    def values(self, genomes: Floats) -> Floats:
        """Return (n,) predicted values of the objective."""
        return natural(terms(genomes, self.form) @ self.coefficients, self.link)

    def interval(self, genomes: Floats, *, level: float = 0.95, n_items: int | None = None) -> tuple[Floats, Floats]:
        """Return the (n,) ends of a predictive interval of the objective's true value.

        With `n_items` it is that of its mean over as many items; for the logit link only.
        """
        means, deviations = self.latent(genomes)
        if n_items is not None:
            p = natural(means, self.link)
            deviations = np.sqrt(deviations**2 + 1.0 / np.maximum(n_items * p * (1.0 - p), 0.5))
        reach = float(stdtrit(self.degrees, 0.5 + level / 2.0)) * deviations
        return natural(means - reach, self.link), natural(means + reach, self.link)

    def leverage(self, genomes: Floats) -> Floats:
        """Return (n,) variances of β·terms(x): how far x lies from what was sampled, in the terms' own geometry."""
        x = terms(genomes, self.form)
        return np.asarray(np.einsum("ij,jk,ik->i", x, self.covariance, x))

    def smoothed(self, observed: Observations) -> Floats:
        """Return (n,) values of points that were measured: fit and measurement, each by how sure it is."""
        found = linked(observed, self.link)
        fitted = terms(observed.genomes, self.form) @ self.coefficients
        share = self.discrepancy / (self.discrepancy + found.variances) if self.discrepancy > 0.0 else 0.0
        return natural(fitted + share * _misses(found, fitted), self.link)

    def expecting(self, genome: Floats) -> QuadraticSurrogate:
        """Return the surrogate as sure as it will be once a genome (dim,) is measured; means stay as they are."""
        x = terms(genome[None, :], self.form)[0]
        along = self.covariance @ x
        scale = self.noise + self.discrepancy + float(x @ along)
        return replace(self, covariance=self.covariance - np.outer(along, along) / scale)


def fit_quadratic(observed: Observations, link: Link | None = None) -> QuadraticSurrogate:
    """Return the surrogate of some observations; its form and ridge are those that leave-one-out likes best.

    A form with curvature is tried where there are at least two more points than unknowns; the linear form always.
    Without a link it is that of the observations.
    """
    link = link or observed.link
    found = linked(observed, link)
    z, variances = found.values, found.variances
    n, dim = observed.genomes.shape
    forms = [form for form in FORMS if form == "linear" or n_terms(dim, form) + 2 <= n]
    weights = 1.0 / (variances + float(np.median(variances)))
    trials = [_Fit(terms(observed.genomes, form), found, weights, ridge) for form in forms for ridge in RIDGES]
    errors = [trial.left_out_error for trial in trials]
    chosen = int(np.argmin(errors))
    form, ridge = forms[chosen // len(RIDGES)], RIDGES[chosen % len(RIDGES)]
    discrepancy = _discrepancy(trials[chosen])
    fit = replace(trials[chosen], weights=1.0 / (variances + discrepancy))
    spread = float(np.sum(weights * (z - np.average(z, weights=weights)) ** 2))
    return QuadraticSurrogate(
        link=link,
        form=form,
        ridge=ridge,
        coefficients=fit.coefficients,
        covariance=fit.covariance,
        discrepancy=discrepancy,
        degrees=max(1.0, n - fit.unknowns),
        r2=1.0 - errors[chosen] / spread if spread > 0.0 else 0.0,
        noise=float(np.median(variances)),
    )


@dataclass(frozen=True, eq=False)
class _Fit:
    """One weighted ridge fit; the intercept is not penalised."""

    x: Floats
    found: Linked
    weights: Floats
    ridge: float

    @cached_property
    def covariance(self) -> Floats:
        penalties = np.full(self.x.shape[1], self.ridge * float(self.weights.sum()))
        penalties[0] = 0.0
        normal = (self.x.T * self.weights) @ self.x + np.diag(penalties)
        return np.asarray(cho_solve(cho_factor(normal), np.eye(len(normal))))

    @cached_property
    def coefficients(self) -> Floats:
        solve = self.covariance @ (self.x.T * self.weights)
        coefficients = solve @ self.found.values
        # A value of none right only says "at most": where the fit lies below, it is right (one-sided least squares).
        for _ in range(ROUNDS if self.found.sides.any() else 0):
            fitted = self.x @ coefficients
            coefficients = solve @ (fitted + _misses(self.found, fitted))
        return np.asarray(coefficients)

    @cached_property
    def residuals(self) -> Floats:
        return _misses(self.found, self.x @ self.coefficients)

    @cached_property
    def leverages(self) -> Floats:
        """The hat matrix's diagonal."""
        return np.asarray(np.einsum("ij,jk,ik->i", self.x, self.covariance, self.x) * self.weights)

    @property
    def unknowns(self) -> float:
        """The effective number of unknowns: the hat matrix's trace."""
        return float(self.leverages.sum())

    @property
    def left_out_error(self) -> float:
        """The weighted sum of squared leave-one-out residuals (PRESS, Allen 1974), rᵢ/(1 - hᵢ)."""
        left_out = self.residuals / np.maximum(1.0 - self.leverages, 1e-6)
        return float(np.sum(self.weights * left_out**2))


def _misses(found: Linked, fitted: Floats) -> Floats:
    """Return what was measured less what was fitted; 0 where the fit lies beyond a value of none or all right."""
    misses = found.values - fitted
    return np.where(found.sides * misses < 0.0, 0.0, misses)


def _discrepancy(fit: _Fit) -> float:
    """Return τ² at which the residuals are as large as they should be, Σ r²/(v + τ²) = n - unknowns; 0 if none is.

    Paule and Mandel 1982, "Consensus values and weighting factors", with the fit's unknowns in place of one mean.
    """
    variances, n = fit.found.variances, len(fit.found.values)

    def excess(tau2: float) -> float:
        refitted = replace(fit, weights=1.0 / (variances + tau2))
        return float(np.sum(refitted.weights * refitted.residuals**2)) - max(1.0, n - refitted.unknowns)

    if excess(0.0) <= 0.0:
        return 0.0
    high = float(np.var(fit.found.values)) + float(variances.max())
    while excess(high) > 0.0:
        high *= 4.0
    return float(brentq(excess, 0.0, high, xtol=1e-6 * high, rtol=1e-6))
