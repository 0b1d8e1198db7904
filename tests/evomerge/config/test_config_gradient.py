"""The sections of descents: what they fill in, and which spaces they refuse."""

from __future__ import annotations

from pathlib import Path

import pytest

from evomerge.config import CampaignConfig, dump_campaign, load_campaign
from evomerge.config.campaign_file import read_campaign
from evomerge.kinds import OptionsError
from evomerge.optimisers import FrankWolfe, Gradient
from evomerge.optimisers.gradient.options import descent_of
from tests.evomerge.config.test_config_errors import GOOD, refused_text

SPACE = "  operator: ties\n  groups: {layer_blocks: 5}\n  genes: {weight: [0.0, 1.5], density: [0.2, 1.0]}\n"


def loaded(tmp_path: Path, optimiser: str, space: str | None = None) -> CampaignConfig:
    text = GOOD.replace("optimiser: {kind: nsga2, population: 24}", f"optimiser: {optimiser}")
    text = text.replace(f"space:\n{SPACE}", "" if space is None else f"space: {space}\n")
    (tmp_path / "campaign.yaml").write_text(text)
    return load_campaign(tmp_path / "campaign.yaml")


@pytest.mark.parametrize("kind", ["gradient", "frank_wolfe"])
def test_a_descent_without_a_space_has_one_of_task_vectors(tmp_path: Path, kind: str) -> None:
    config = loaded(tmp_path, kind)
    assert config.space.operator == ("task_arithmetic",)
    assert read_campaign(dump_campaign(config)) == config


def test_a_descent_per_tensor_searches_a_group_per_tensor(tmp_path: Path) -> None:
    config = loaded(tmp_path, "{kind: gradient, per: tensor}", "{operator: task_arithmetic, layer_blocks: 3}")
    searched = config.optimiser.searched(config.space)
    assert searched.groups.modules == ("tensor",)
    assert searched.genes == config.space.genes
    assert config.space.groups.layer_blocks == 3


def test_coefficients_may_be_negative_where_no_space_is_said(tmp_path: Path) -> None:
    assert loaded(tmp_path, "gradient").space.genes["weight"] == (-1.0, 2.0)


def test_a_descent_per_group_searches_the_campaigns_own_space(tmp_path: Path) -> None:
    config = loaded(tmp_path, "{kind: gradient, per: group}", "{operator: task_arithmetic, layer_blocks: 3}")
    assert config.optimiser.searched(config.space) is config.space


def test_adamerging_is_its_released_settings_but_for_what_is_said(tmp_path: Path) -> None:
    found = loaded(tmp_path, "{kind: gradient, preset: adamerging, steps: 40}").optimiser
    expected = {"objective": "entropy", "per": "tensor", "rate": 1e-3, "initial": 0.3, "batch": 32, "patience": 0}
    assert found.model_dump() | expected == found.model_dump()
    assert (found.steps, found.clamps) == (40, True)


@pytest.mark.parametrize(
    ("space", "found"),
    [
        ("{operator: ties}", "found ['ties']"),
        ("{operator: [task_arithmetic, ties]}", "found ['task_arithmetic', 'ties']"),
        ("{kind: layer_flow}", "found 'layer_flow'"),
    ],
)
def test_a_space_that_is_not_linear_is_refused(tmp_path: Path, space: str, found: str) -> None:
    text = GOOD.replace(f"space:\n{SPACE}", f"space: {space}\n").replace("{kind: nsga2, population: 24}", "gradient")
    message = refused_text(tmp_path, text)
    assert f"optimiser: expected a space of task_arithmetic with gradient, {found}" in message
    assert "write space: {operator: task_arithmetic}" in message


def test_genes_besides_weights_are_refused(tmp_path: Path) -> None:
    space = "{operator: task_arithmetic, genes: {lambda: [0.3, 1.8]}}"
    text = GOOD.replace(f"space:\n{SPACE}", f"space: {space}\n").replace("{kind: nsga2, population: 24}", "gradient")
    assert "expected no genes but weight with gradient, found 'lambda'" in refused_text(tmp_path, text)


def test_gradient_is_a_start_point_of_other_optimisers_and_no_file(tmp_path: Path) -> None:
    config = loaded(tmp_path, "{kind: cma_es, warm_start: gradient}", "{operator: task_arithmetic}")
    assert config.optimiser.warm_start == ("gradient",)
    descent = descent_of(config.optimiser)
    assert descent is not None
    assert descent.per == "group"
    assert descent_of(loaded(tmp_path, "cma_es").optimiser) is None


def test_options_of_descents_are_checked_when_they_are_made() -> None:
    assert Gradient(steps=5).length.steps == 5
    assert FrankWolfe().length.steps == 10
    with pytest.raises(OptionsError, match="held_back: expected a number below 1"):
        Gradient(held_back=1.0)
