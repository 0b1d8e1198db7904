"""The surrogate recovers a quadratic exactly, its intervals cover, and it stays simple where data are few."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import expit, logit

from evomerge.optimisers.map.surrogates.links import Observations, linked
from evomerge.optimisers.map.surrogates.quadratic import QuadraticSurrogate, fit_quadratic, n_terms, terms

Floats = NDArray[np.float64]
CURVATURE = np.array([[-2.0, 0.5, 0.0], [0.5, -1.0, 0.3], [0.0, 0.3, -3.0]])
SLOPE = np.array([1.0, 0.5, 1.0])


def quadratic(x: Floats) -> Floats:
    """Return ½xᵀAx + bᵀx - 0.3."""
    return np.asarray(0.5 * np.einsum("ij,jk,ik->i", x, CURVATURE, x) + x @ SLOPE - 0.3)


def exact(x: Floats, values: Floats, n_items: int = 10**6) -> Observations:
    n = np.full(len(x), float(n_items))
    inside = np.clip(values, 0.0, 1.0)
    return Observations(x, values, np.sqrt(inside * (1.0 - inside) / n), n)


def binomial(x: Floats, accuracies: Floats, n_items: int, rng: np.random.Generator) -> Observations:
    found = rng.binomial(n_items, accuracies) / n_items
    stderrs = np.sqrt(found * (1 - found) / (n_items - 1))
    return Observations(x, found, stderrs, np.full(len(x), float(n_items)))


def test_a_quadratic_is_recovered_exactly_through_the_logit_link() -> None:
    rng = np.random.default_rng(0)
    x, elsewhere = rng.random((20, 3)), rng.random((200, 3))
    surrogate = fit_quadratic(exact(x, expit(quadratic(x))))
    assert (surrogate.link, surrogate.form) == ("logit", "full")
    assert surrogate.values(elsewhere) == pytest.approx(expit(quadratic(elsewhere)), abs=1e-7)
    assert surrogate.discrepancy == 0.0
    assert surrogate.r2 > 1 - 1e-9


def test_objectives_that_are_no_shares_are_fitted_as_they_are() -> None:
    rng = np.random.default_rng(0)
    x, elsewhere = rng.random((20, 3)), rng.random((200, 3))
    values = -5.0 + 3.0 * quadratic(x)
    surrogate = fit_quadratic(Observations(x, values, np.zeros(20), np.ones(20)))
    assert (surrogate.link, surrogate.form) == ("identity", "full")
    assert surrogate.values(elsewhere) == pytest.approx(-5.0 + 3.0 * quadratic(elsewhere), abs=1e-6)


@pytest.mark.parametrize("n_items", [40, 400])
def test_intervals_cover_true_accuracies_and_new_measurements(n_items: int) -> None:
    """Over 200 simulated searches a 95 % interval holds 92 to 98 % of what it speaks of."""
    rng = np.random.default_rng(1)
    true_inside, new_inside = [], []
    for _ in range(200):
        x, elsewhere = rng.random((30, 3)), rng.random((20, 3))
        surrogate = fit_quadratic(binomial(x, expit(quadratic(x)), n_items, rng))
        truth = expit(quadratic(elsewhere))
        low, high = surrogate.interval(elsewhere)
        true_inside.append(np.mean((low <= truth) & (truth <= high)))
        low, high = surrogate.interval(elsewhere, n_items=n_items)
        new = rng.binomial(n_items, truth) / n_items
        new_inside.append(np.mean((low <= new) & (new <= high)))
    assert 0.92 < np.mean(true_inside) < 0.98
    assert 0.92 < np.mean(new_inside) < 0.98


def test_intervals_cover_where_no_quadratic_fits() -> None:
    rng = np.random.default_rng(2)
    inside = []
    for _ in range(200):
        x, elsewhere = rng.random((40, 3)), rng.random((20, 3))
        phase = rng.random(3) * 6

        def wavy(at: Floats, phase: Floats = phase) -> Floats:
            return np.asarray(expit(quadratic(at) + 0.4 * np.sin(8 * at + phase).sum(axis=1)))

        low, high = fit_quadratic(binomial(x, wavy(x), 400, rng)).interval(elsewhere)
        inside.append(np.mean((low <= wavy(elsewhere)) & (wavy(elsewhere) <= high)))
    assert 0.9 < np.mean(inside) < 0.99


def test_variances_follow_the_standard_errors_and_no_luck_makes_certain() -> None:
    values, stderrs = np.array([0.7, 0.7, 0.7]), np.array([0.02, 0.002, 0.0])
    variances = linked(Observations(np.zeros((3, 1)), values, stderrs, np.full(3, 500.0)), "logit").variances
    assert variances[0] == pytest.approx((0.02 / 0.21) ** 2)
    assert variances[0] / variances[1] == pytest.approx(100.0, rel=0.01)
    assert variances[2] == pytest.approx(1 / (500 * 0.21))  # binomial where the standard error says nothing


def test_accuracies_of_none_and_all_are_clipped_by_half_an_item() -> None:
    observed = Observations(np.zeros((2, 1)), np.array([0.0, 1.0]), np.zeros(2), np.full(2, 50.0))
    found = linked(observed, "logit")
    assert found.values == pytest.approx([logit(0.01), logit(0.99)])
    assert found.variances == pytest.approx([1 / (50 * 0.01 * 0.99)] * 2)
    assert found.sides.tolist() == [-1.0, 1.0]


def test_broken_merges_do_not_bend_the_surrogate() -> None:
    """A value of none right only says "at most": far below, the quadratic may go on falling."""
    rng = np.random.default_rng(3)
    x = rng.random((60, 2))

    def steep(at: Floats) -> Floats:
        return np.asarray(1.5 - 40.0 * ((at - 0.5) ** 2).sum(axis=1))

    observed = binomial(x, expit(steep(x)), 200, rng)
    assert (observed.values == 0.0).sum() > 15
    near = 0.5 + 0.3 * (rng.random((200, 2)) - 0.5)
    assert fit_quadratic(observed).values(near) == pytest.approx(expit(steep(near)), abs=0.06)


@pytest.mark.parametrize(("n", "form"), [(12, "linear"), (30, "diagonal"), (90, "full")])
def test_the_form_follows_the_number_of_points(n: int, form: str) -> None:
    rng = np.random.default_rng(4)
    dim = 10
    curvature = rng.normal(size=(dim, dim))
    x = rng.random((n, dim))
    values = expit(-np.einsum("ij,jk,ik->i", x - 0.5, curvature @ curvature.T, x - 0.5) / 4)
    found = fit_quadratic(exact(x, values))
    assert n_terms(dim, found.form) <= max(n_terms(dim, "linear"), n - 2)
    if form in ("linear", "full"):
        assert found.form == form


def test_noise_alone_is_not_taken_for_curvature() -> None:
    rng = np.random.default_rng(5)
    forms = []
    for _ in range(20):
        x = rng.random((40, 4))
        forms.append(fit_quadratic(binomial(x, expit(x @ np.array([2.0, -1.0, 1.0, 0.0])), 100, rng)))
    errors = [np.abs(s.values(x) - expit(x @ np.array([2.0, -1.0, 1.0, 0.0]))).mean() for s in forms]
    assert np.mean(errors) < 0.035  # one measurement alone: about 0.045


def test_a_flat_objective_is_no_error() -> None:
    x = np.random.default_rng(0).random((12, 2))
    for value in (0.0, 0.5, 1.0):
        surrogate = fit_quadratic(Observations(x, np.full(12, value), np.zeros(12), np.full(12, 100.0)))
        assert surrogate.values(x) == pytest.approx(value, abs=0.01)


def test_what_is_expected_to_be_measured_makes_it_surer_there_and_moves_nothing() -> None:
    rng = np.random.default_rng(6)
    x = rng.random((25, 3))
    before = fit_quadratic(binomial(x, expit(quadratic(x)), 100, rng))
    corner = np.ones(3)
    after = before.expecting(corner)
    assert after.leverage(corner[None])[0] < before.leverage(corner[None])[0]
    assert np.array_equal(after.values(x), before.values(x))


def test_smoothing_lies_between_the_fit_and_the_measurement() -> None:
    rng = np.random.default_rng(7)
    x = rng.random((40, 2))
    observed = binomial(x, expit(np.sin(9 * x).sum(axis=1)), 50, rng)
    surrogate: QuadraticSurrogate = fit_quadratic(observed)
    assert surrogate.discrepancy > 0
    smoothed, fitted = surrogate.smoothed(observed), surrogate.values(x)
    inner = (observed.values > 0) & (observed.values < 1)
    low, high = np.minimum(fitted, observed.values), np.maximum(fitted, observed.values)
    assert ((low - 1e-12 <= smoothed) & (smoothed <= high + 1e-12))[inner].all()


def test_the_full_form_has_every_product_once() -> None:
    assert terms(np.array([[1.0, 0.75, 0.0]]), "full").tolist() == [[1, 1, 0.5, -1, 1, 0.25, 1, 0.5, -1, -0.5]]
    assert [n_terms(3, form) for form in ("linear", "diagonal", "full")] == [4, 7, 10]
