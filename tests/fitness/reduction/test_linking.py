"""Items of a bank on the scale of one's own models, against simulated truth and slow formulas."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fitness.errors import FitnessError
from fitness.estimation.item_response import Respondent, Seen
from fitness.estimation.response_model import ItemParameters, fit, fit_beside
from fitness.reduction.linking import KnownItems, LinkedFit, from_mirt, population
from fitness.reduction.reduction import reduce_benchmark
from fitness.typing import Floats
from tests.fitness.reduction.worlds import ENDPOINTS, world

N_ITEMS, N_MODELS = 160, 40


def sigma(x: Floats) -> Floats:
    return 1.0 / (1.0 + np.exp(-x))


@pytest.fixture(scope="module")
def truth() -> tuple[ItemParameters, Floats, Floats]:
    """Items on a public scale; own models of mean .8 and standard deviation .6 there; their answers."""
    rng = np.random.default_rng(5)
    items = ItemParameters(rng.uniform(0.6, 2.0, (N_ITEMS, 1)), rng.normal(0.0, 1.2, N_ITEMS), np.full(N_ITEMS, 0.1))
    abilities = rng.normal(0.8, 0.6, (N_MODELS, 1))
    chances = 0.1 + 0.9 * sigma(abilities @ items.discriminations.T + items.intercepts)
    return items, abilities, (rng.random(chances.shape) < chances).astype(np.float64)


def test_mean_and_spread_of_own_models_on_the_banks_scale_are_found(
    truth: tuple[ItemParameters, Floats, Floats],
) -> None:
    items, abilities, scores = truth
    mean, spread = population(scores, items)
    assert mean[0] == pytest.approx(abilities.mean(), abs=0.15)
    assert abs(spread[0, 0]) == pytest.approx(abilities.std(), abs=0.15)


def test_items_that_no_bank_has_come_onto_the_scale_of_those_that_it_has(
    truth: tuple[ItemParameters, Floats, Floats],
) -> None:
    items, abilities, scores = truth
    known = np.arange(0, N_ITEMS, 2)
    fitted = LinkedFit(KnownItems(known, items.of(known)), items.guessing)(scores, np.arange(N_ITEMS))
    mean, spread = population(scores[:, known], items.of(known))
    expected = items.discriminations @ mean + items.intercepts
    new = np.setdiff1d(np.arange(N_ITEMS), known)
    assert np.allclose(fitted.items.intercepts[known], expected[known])
    assert np.allclose(fitted.items.discriminations[known], items.discriminations[known] @ spread)
    assert np.corrcoef(fitted.items.intercepts[new], expected[new])[0, 1] > 0.9
    assert np.corrcoef(np.abs(fitted.abilities[:, 0]), np.abs((abilities - mean)[:, 0]))[0, 1] > 0.8
    chances = 0.1 + 0.9 * sigma(abilities @ items.discriminations.T + items.intercepts)
    predicted = fitted.items.probabilities(fitted.abilities)
    assert np.abs(predicted[:, new] - chances[:, new]).mean() < 0.08


def test_the_new_items_parameters_are_where_the_posterior_is_flat(truth: tuple[ItemParameters, Floats, Floats]) -> None:
    items, _, scores = truth
    known = np.ones(N_ITEMS, dtype=bool)
    known[:6] = False
    parameters = ItemParameters(items.discriminations.copy(), items.intercepts.copy(), items.guessing)
    found = fit_beside(scores, parameters, known)

    def log_posterior(a: Floats, o: Floats) -> float:
        p = 0.1 + 0.9 * sigma(found.abilities @ a.T + o)
        rates = (scores[:, :6].sum(axis=0) + 0.5) / (len(scores) + 1.0)
        centre = np.clip((rates - 0.1) / 0.9, 0.02, 0.98)
        slopes = items.discriminations[6:]
        prior = (((a[:6] - slopes.mean()) / slopes.std()) ** 2).sum() + (
            ((o[:6] - np.log(centre / (1 - centre))) / 3.0) ** 2
        ).sum()
        return float((scores * np.log(p) + (1 - scores) * np.log(1 - p)).sum()) - 0.5 * float(prior)

    a, o = found.items.discriminations, found.items.intercepts
    best = log_posterior(a, o)
    for item in range(6):
        for step in (-0.05, 0.05):
            moved_a, moved_o = a.copy(), o.copy()
            moved_a[item] += step
            assert log_posterior(moved_a, o) < best
            moved_o[item] += step
            assert log_posterior(a, moved_o) < best
    assert np.array_equal(o[6:], items.intercepts[6:])


def test_mirts_parameters_mean_what_they_say() -> None:
    found = from_mirt(np.array([[1.5]]), np.array([-0.7]), np.array([0.2]), np.array([1.0]))
    theta = np.linspace(-3, 3, 7)[:, None]
    assert np.allclose(found.probabilities(theta)[:, 0], 0.2 + 0.8 * sigma(1.5 * theta[:, 0] - 0.7))


@given(a=st.floats(-3.0, 3.0), d=st.floats(-3.0, 3.0), guess=st.floats(0.0, 0.4), upper=st.floats(0.75, 0.999))
def test_without_its_upper_asymptote_an_item_is_as_close_as_can_be(
    a: float, d: float, guess: float, upper: float
) -> None:
    found = from_mirt(np.array([[a]]), np.array([d]), np.array([guess]), np.array([upper]))
    theta = np.random.default_rng(0).standard_normal((4000, 1))
    chances = guess + (upper - guess) * sigma(a * theta[:, 0] + d)

    def divergence(slope: float, intercept: float) -> float:
        p = np.clip(guess + (1.0 - guess) * sigma(slope * theta[:, 0] + intercept), 1e-12, 1 - 1e-12)
        return float(-(chances * np.log(p) + (1.0 - chances) * np.log(1.0 - p)).mean())

    slope, intercept = float(found.discriminations[0, 0]), float(found.intercepts[0])
    here = divergence(slope, intercept)
    for da, do in ((0.2, 0.0), (-0.2, 0.0), (0.0, 0.2), (0.0, -0.2)):
        assert here <= divergence(slope + da, intercept + do) + 1e-3
    assert here <= divergence(a, d) + 1e-3


def test_each_bank_has_a_scale_of_its_own_and_an_item_of_two_banks_is_the_firsts() -> None:
    one = ItemParameters(np.array([[1.0], [2.0]]), np.array([0.1, 0.2]), np.zeros(2))
    two = ItemParameters(np.array([[3.0], [4.0]]), np.array([0.3, 0.4]), np.full(2, 0.25))
    found = KnownItems.of_banks([(np.array([5, 1]), one), (np.array([1, 7]), two)])
    assert found.places.tolist() == [5, 1, 7]
    assert found.parameters.discriminations.tolist() == [[1.0, 0.0], [2.0, 0.0], [0.0, 4.0]]
    assert found.parameters.intercepts.tolist() == [0.1, 0.2, 0.4]
    assert found.parameters.guessing.tolist() == [0.0, 0.0, 0.25]


def test_a_bank_saves_models_where_it_knows_the_items() -> None:
    full = world("linear", 3, n_models=240, dims=1, n_items=160)
    tasks, bank = full.tasks, fit(full.scores[120:]).items
    matrix = full.matrix(24)
    known = KnownItems(np.arange(160), bank)
    made = reduce_benchmark(matrix, tasks, endpoints=ENDPOINTS, n_items=24, content="", known=known)
    alone = reduce_benchmark(matrix, tasks, endpoints=ENDPOINTS, n_items=24, content="")
    assert made.form == "3pl"
    assert set(made.bank.endpoints) == set(ENDPOINTS)
    errors = {}
    for name, reduced in (("bank", made), ("alone", alone)):
        gaps = []
        for row in full.scores[24:120]:
            seen = [Seen(t.items[:12], row[t.items[:12]], np.ones(12)) for t in reduced.bank.tasks]
            respondent = Respondent(reduced.bank, seen)
            gaps += [
                abs(respondent.estimate(t, "p-irt").value - row[task.items].mean())
                for t, task in enumerate(reduced.bank.tasks)
            ]
        errors[name] = float(np.mean(gaps))
    assert errors["bank"] < errors["alone"]


def test_too_few_known_items_are_one_message() -> None:
    items = ItemParameters(np.ones((4, 1)), np.zeros(4), np.zeros(4))
    with pytest.raises(FitnessError, match="expected at least 5 known items, found 4"):
        population(np.ones((3, 4)), items)
