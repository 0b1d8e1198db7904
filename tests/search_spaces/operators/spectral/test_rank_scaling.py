"""Rank-wise scaling is the formula, drawn anew from its numbers, and sums over a parent's draws."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from search_spaces.operators.recipe_facts import has_random_masks
from search_spaces.recipes.recipe import ParentSource, Recipe
from search_spaces.recipes.rule import Input, Parameter, Rule
from tests.search_spaces.operators.merging import merge, rule_of
from tests.search_spaces.operators.spectral.merged import random_deltas, tau

SHAPES = [(9, 14), (14, 9), (10, 10)]
DRAWN: dict[str, Parameter] = {"weight": 1.0, "draw": 3}


def scales_of(merged: torch.Tensor, delta: torch.Tensor) -> np.ndarray:
    """Return what each singular component was multiplied by, by numpy's own decomposition."""
    u, s, vh = np.linalg.svd(delta.numpy(), full_matrices=False)
    inside = u.T @ merged.double().numpy() @ vh.T
    assert inside - np.diag(np.diag(inside)) == pytest.approx(0.0, abs=1e-6)
    return np.asarray(np.diag(inside) / s)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_draw_scales_every_singular_component_by_a_number_of_its_own_in_the_unit_interval(
    shape: tuple[int, int],
) -> None:
    (delta,) = random_deltas(1, shape)
    scales = scales_of(tau("rank_scaled", [delta], DRAWN), delta)
    assert 0 <= scales.min() < scales.max() < 1
    assert len(np.unique(scales.round(6))) == min(shape)
    assert scales == pytest.approx(scales_of(tau("rank_scaled", [delta], DRAWN), delta))
    other = scales_of(tau("rank_scaled", [delta], {"weight": 1.0, "draw": 4}), delta)
    assert abs(scales - other).max() > 0.1


def test_draws_are_uniform() -> None:
    (delta,) = random_deltas(1, (40, 40))
    found = np.sort([scales_of(tau("rank_scaled", [delta], {"weight": 1.0, "draw": n}), delta) for n in range(1, 26)])
    assert np.sort(found.ravel()) == pytest.approx(np.linspace(0, 1, 1000), abs=0.05)


def test_without_draws_it_is_task_arithmetic() -> None:
    deltas = random_deltas(3, (6, 7))
    weights: list[dict[str, Parameter]] = [{"weight": w} for w in (0.5, -0.2, 1.5)]
    expected = tau("task_arithmetic", deltas, *weights)
    torch.testing.assert_close(tau("rank_scaled", deltas, *weights).float(), expected)


def test_inputs_add_up_also_those_of_one_parent() -> None:
    one, two = random_deltas(2, (6, 7))
    inputs: list[dict[str, Parameter]] = [{"weight": 0.7}, {"weight": 0.1, "draw": 2}, {"weight": 0.05, "draw": 5}]
    inputs.append({"weight": 0.3})
    deltas = [one, one, one, two]
    alone = [
        tau("rank_scaled", deltas, *({**given, "weight": given["weight"] * (i == j)} for j, given in enumerate(inputs)))
        for i in range(4)
    ]
    torch.testing.assert_close(tau("rank_scaled", deltas, *inputs), sum(alone, torch.zeros_like(one)))


def test_vectors_have_no_draws() -> None:
    base, parent = torch.zeros(7), torch.arange(7.0)
    found = merge(rule_of("rank_scaled", {"weight": 0.5}, DRAWN), [parent, parent], base)
    torch.testing.assert_close(found, 0.5 * parent)


def test_a_recipe_depends_on_its_seed_where_something_is_drawn() -> None:
    sources = {name: ParentSource(f"/models/{name}") for name in ("base", "alpha")}

    def recipe(draw: int) -> Recipe:
        return Recipe(sources, "base", (Rule("rank_scaled", (Input("alpha", {"weight": 1.0, "draw": draw}),)),))

    assert [has_random_masks(recipe(draw)) for draw in (0, 1)] == [False, True]
