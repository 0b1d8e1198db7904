"""The terrain of a campaign: its slope, its genomes, and the spaces that it refuses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evomerge.assembly import build_parts, settled
from evomerge.assembly.parts import Parts
from evomerge.config import load_campaign
from evomerge.optimisers import Gradient, OptimiserError
from evomerge.optimisers.terrain import Terrain

OBJECTIVES = [{"name": n, "tasks": [f"{n}.jsonl"], "expert": e} for n, e in (("sums", "alpha"), ("words", "beta"))]
BLOCKS = {"operator": "task_arithmetic", "groups": {"layer_blocks": 2, "modules": ["attention", "mlp"]}}


@pytest.fixture
def built(campaign_file: Callable[..., Path]) -> Callable[..., tuple[Parts, Terrain]]:
    """Build the terrain of a campaign in a space, for a descent with some options."""

    def build(space: Any, **options: Any) -> tuple[Parts, Terrain]:
        config = load_campaign(campaign_file(space=space, objectives=OBJECTIVES, optimiser={"kind": "random"}))
        parts = build_parts(settled(config))
        make = parts.problem().terrain
        assert make is not None
        return parts, make(Gradient(per="group", items=4, **options).course(config.seed))

    return build


@pytest.mark.parametrize("objective", ["js", "kl", "entropy", "nll"])
def test_the_slope_is_that_of_finite_differences(built: Callable[..., tuple[Parts, Terrain]], objective: str) -> None:
    _, terrain = built(BLOCKS, objective=objective)
    values = np.random.default_rng(0).uniform(0.2, 0.8, terrain.shape)
    _, slope = terrain.learn(values, 0)
    direction = np.random.default_rng(1).standard_normal(terrain.shape)
    width = 3e-2
    ahead, behind = (terrain.learn(values + sign * width * direction, 0)[0] for sign in (1, -1))
    assert (slope * direction).sum() == pytest.approx((ahead - behind) / (2 * width), rel=0.02, abs=1e-5)


def test_a_genome_stands_for_its_coefficients(built: Callable[..., tuple[Parts, Terrain]]) -> None:
    parts, terrain = built(BLOCKS)
    values = np.random.default_rng(0).uniform(0.0, 1.5, terrain.shape)
    decoded = parts.space.decode(terrain.genome(values))
    rules = [rule for rule in decoded.rules if rule.operator == "task_arithmetic"]
    found = np.array([[float(i.parameters["weight"]) for i in rule.inputs] for rule in rules]).T
    assert found == pytest.approx(values, abs=2e-6)


def test_in_a_space_of_another_operator_it_is_the_nearest_genome(built: Callable[..., tuple[Parts, Terrain]]) -> None:
    genes = {"weight": [0.0, 1.5], "density": [0.2, 1.0], "lambda": [0.0, 2.0]}
    parts, terrain = built({"operator": "ties", "groups": {"layer_blocks": 1, "modules": ["all"]}, "genes": genes})
    decoded = parts.space.decode(terrain.genome(np.array([[0.6], [0.9]])))
    rule = decoded.rules[0]
    assert [i.parameters for i in rule.inputs] == [
        {"weight": pytest.approx(0.6), "density": 1.0},
        {"weight": pytest.approx(0.9), "density": 1.0},
    ]
    assert rule.parameters["lambda"] == pytest.approx(1.5)


def test_bounds_are_those_of_the_genes_or_none_where_coefficients_are_clamped(
    built: Callable[..., tuple[Parts, Terrain]],
) -> None:
    genes = {"weight": {"alpha": [0.0, 1.0], "beta": [-0.5, 2.0]}}
    _, terrain = built({**BLOCKS, "genes": genes})
    assert [terrain.low.tolist(), terrain.high.tolist()] == [[[0.0], [-0.5]], [[1.0], [2.0]]]
    _, clamped = built({**BLOCKS, "genes": genes}, preset="adamerging")
    assert np.isinf([clamped.low, clamped.high]).all()
    beyond = np.full(clamped.shape, 1.2)
    assert clamped.held_back(beyond) == clamped.held_back(np.ones(clamped.shape))
    assert not clamped.learn(beyond, 0)[1].any()


@pytest.mark.parametrize("space", [{"kind": "layer_flow"}, {"operator": "linear", "groups": {"layer_blocks": 1}}])
def test_a_space_without_task_vectors_is_refused(built: Callable[..., tuple[Parts, Terrain]], space: Any) -> None:
    with pytest.raises(OptimiserError, match="gradient, as a start or a landmark, expects"):
        built(space)


def test_nothing_is_built_before_a_descent_takes_a_step(campaign_file: Callable[..., Path]) -> None:
    config = load_campaign(campaign_file(space=BLOCKS, objectives=OBJECTIVES))
    parts = build_parts(config)  # its dtype is still auto: a model could not be built

    def never(course: object) -> Terrain:
        raise AssertionError("a model was built")

    Gradient(per="group").build(replace(parts.problem(), terrain=never))
