"""map, nested_map and greedy_soup from a campaign file: options by name, and what they ask of the space."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from evomerge.config import CampaignConfig, ConfigError, load_campaign
from evomerge.optimisers import Optimiser, OptimiserError, Problem
from search_spaces.recipes.groups import Groups
from search_spaces.spaces.weight_space import WeightSpace

NAMES = ("one", "two", "three")
SOUP = {"operator": "linear", "groups": {"layer_blocks": 1, "modules": ["all"]}}


def config(tmp_path: Path, **sections: Any) -> CampaignConfig:
    document = {
        "base": "org/base",
        "parents": [f"org/{name}" for name in NAMES],
        "objectives": [{"name": "sums", "tasks": ["gsm8k"]}, {"name": "words", "tasks": ["arc_easy"]}],
        **sections,
    }
    path = tmp_path / "campaign.yaml"
    path.write_text(yaml.safe_dump(document))
    return load_campaign(path)


def build_optimiser(found: CampaignConfig, there: WeightSpace) -> Optimiser[Any]:
    weights = {objective.name: objective.weight for objective in found.objectives}
    return found.optimiser.build(Problem(there, found.seed, weights, found.budget.evaluations))


def space(found: CampaignConfig) -> WeightSpace:
    section: Any = found.space
    groups = section.groups
    return WeightSpace(
        found.sources,
        found.base_name,
        n_layers=6,
        operators=section.operator,
        groups=Groups(groups.layer_blocks, groups.modules, groups.depth),
        genes=section.genes,
        weights=section.weights,
    )


@pytest.mark.parametrize(
    ("optimiser", "message"),
    [
        ({"kind": "map", "intial": 20}, "intial: expected one of .*, found 'intial'; did you mean 'initial'"),
        ({"kind": "map", "initial": 2}, "initial: expected a number of at least 3, found 2"),
        ({"kind": "map", "batch": True}, "batch: expected a whole number, found true"),
        ({"kind": "map", "overlap": 1}, "overlap: expected true or false, found 1"),
        ({"kind": "map", "population": 20}, "optimiser.population: expected one of kind, warm_start, initial, batch"),
        ({"kind": "nested_map", "per_pair": 3}, "per_pair: expected a number of at least 12, found 3"),
        ({"kind": "nested_map", "preference": 3}, "optimiser.preference: expected a mapping, found 3"),
        ({"kind": "nested_map", "preference": {"sums": "high"}}, "preference.sums: expected a number"),
        ({"kind": "nested_map", "warm_start": ["x.yml"]}, "optimiser.warm_start: expected none with nested_map"),
        ({"kind": "greedy_soup", "then": 3}, "optimiser.then: expected a mapping, found 3"),
        ({"kind": "greedy_soup", "then": {"kind": "m2n2"}}, r"then.kind: expected an optimiser such as \{kind: cma_es"),
        ({"kind": "greedy_soup", "then": {"kind": "cma"}}, "optimiser.then.kind: expected one of cma_es"),
        ({"kind": "greedy_soup", "then": {"kind": "cma_es", "sigma": 1}}, "then.sigma: expected an option of pycma"),
    ],
)
def test_wrong_options_are_named_before_anything_is_loaded(
    tmp_path: Path, optimiser: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        config(tmp_path, space=SOUP, optimiser=optimiser)


@pytest.mark.parametrize(
    ("preference", "message"),
    [({"math": 1.0}, r"preference: .* among \['sums', 'words'\], found 'math'"), ({"sums": 0.0}, "weights: expected")],
)
def test_a_preference_is_about_objectives(tmp_path: Path, preference: dict[str, float], message: str) -> None:
    nested = {"kind": "nested_map", "preference": preference}
    found = config(tmp_path, space={**SOUP, "operator": "linear"}, optimiser=nested)
    with pytest.raises(OptimiserError, match=message):
        build_optimiser(found, space(found))


@pytest.mark.parametrize(
    "optimiser",
    [
        {"kind": "map", "initial": 20, "batch": 2, "overlap": False},
        {"kind": "nested_map", "preference": {"sums": 2, "words": 1}, "per_pair": 16},
        {"kind": "greedy_soup", "then": {"kind": "cma_es", "sigma0": 0.05}},
        {"kind": "greedy_soup"},
    ],
)
def test_right_options_are_taken(tmp_path: Path, optimiser: dict[str, Any]) -> None:
    found = config(tmp_path, space=SOUP, optimiser=optimiser)
    assert len(build_optimiser(found, space(found)).ask(1)) == 1


def test_nested_map_refuses_operators_that_do_not_nest_and_genes_that_are_no_parents_weights(tmp_path: Path) -> None:
    for section, message in [
        ({**SOUP, "operator": "ties"}, "expects the operator linear or task_arithmetic, found ties: a pair"),
        ({"operator": "linear"}, "expects one weight per parent as the only genes, found 33 genes"),
        ({**SOUP, "weights": "simplex"}, "such as 'weight contrast, one"),
    ]:
        found = config(tmp_path, space=section, optimiser={"kind": "nested_map"})
        with pytest.raises(OptimiserError, match=message):
            build_optimiser(found, space(found))


@pytest.mark.parametrize("weights", ["free", "affine"])
def test_a_greedy_soup_begins_with_every_parent_alone(tmp_path: Path, weights: str) -> None:
    found = config(tmp_path, space={**SOUP, "weights": weights}, optimiser={"kind": "greedy_soup"})
    there = space(found)
    for parent, genome in zip(NAMES, build_optimiser(found, there).ask(3), strict=True):
        inputs = there.decode(genome).rules[0].inputs
        shares = np.array([float(i.parameters["weight"]) for i in inputs])
        alone = [float(i.parent == parent) for i in inputs]
        assert (shares / shares.sum()).tolist() == pytest.approx(alone, abs=1e-5)


def test_a_greedy_soup_refuses_spaces_without_plain_averages(tmp_path: Path) -> None:
    for section in (
        {**SOUP, "weights": "simplex"},
        {**SOUP, "operator": "ties"},
        {**SOUP, "genes": {"weight": [0.1, 1]}},
    ):
        found = config(tmp_path, space=section, optimiser={"kind": "greedy_soup"})
        with pytest.raises(OptimiserError, match="greedy_soup expects a space that holds every plain average"):
            build_optimiser(found, space(found))


def test_a_design_larger_than_the_budget_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    found = config(tmp_path, optimiser={"kind": "map"}, budget={"evaluations": 30})
    build_optimiser(found, space(found))
    assert "map fits its first surrogates after" in caplog.text
