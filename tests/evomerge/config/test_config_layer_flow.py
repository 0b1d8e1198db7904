"""What a campaign file may say of paths through layers, and how it is told what is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from evomerge.config import CampaignConfig, dump_campaign, load_campaign
from evomerge.config.errors import ConfigError
from evomerge.spaces import Joint, LayerFlow
from search_spaces.spaces.flow import Flow

FLOW = """\
base: hub/base
parents: [hub/a, hub/b]
space:
  kind: layer_flow
  repeats: 2
  scales: [0.5, 2.0]
  frozen_prefix: 2
  max_depth: 40
objectives: [{name: words, tasks: [arc_easy]}]
"""
JOINT = """\
parents: [hub/a, hub/b]
space:
  kind: joint
  merge:
    operator: linear
    groups: {layer_blocks: 3}
  flow:
    scales: false
    sources: [merged, b]
objectives: [{name: words, tasks: [arc_easy]}]
"""


def load(tmp_path: Path, text: str) -> CampaignConfig:
    (tmp_path / "campaign.yaml").write_text(text)
    return load_campaign(tmp_path / "campaign.yaml")


def refused(tmp_path: Path, text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    return str(caught.value).replace(f"{tmp_path / 'campaign.yaml'}", "campaign.yaml")


def test_a_layer_flow_section_becomes_a_flow(tmp_path: Path) -> None:
    space = load(tmp_path, FLOW).space
    assert isinstance(space, LayerFlow)
    assert space.flow == Flow(repeats=2, scales=(0.5, 2.0), frozen_prefix=2, max_depth=40)


def test_scales_are_searched_unless_they_are_switched_off(tmp_path: Path) -> None:
    space = load(tmp_path, JOINT).space
    assert isinstance(space, Joint)
    assert space.flow.flow.scales is None
    assert space.merge.groups.layer_blocks == 3
    assert LayerFlow().flow.scales == (0.8, 1.25)


@pytest.mark.parametrize("text", [FLOW, JOINT])
def test_a_config_with_paths_survives_being_written_and_read(tmp_path: Path, text: str) -> None:
    config = load(tmp_path, text)
    assert load(tmp_path, dump_campaign(config)) == config


@pytest.mark.parametrize(
    ("right", "wrong", "message"),
    [
        ("kind: layer_flow", "kind: layerflow", "4: space.kind: expected one of weights, layer_flow, joint, niches, "
         "found 'layerflow'; did you mean 'layer_flow'?"),
        ("repeats: 2", "repeat: 2", "5: space.repeat: expected one of kind, sources, repeats"),
        ("repeats: 2", "repeats: 0", "5: space.repeats: expected a number of at least 1, found 0"),
        ("repeats: 2", "window: -1", "5: space.window: expected a number of at least 0, found -1"),
        ("[0.5, 2.0]", "[1.5, 2.0]", "6: space.scales: expected [low, high] with 0 < low <= 1 <= high, found "
         "[1.5, 2.0]"),
        ("[0.5, 2.0]", "true", "6: space.scales: expected [low, high] with 0 < low <= 1 <= high, found true"),
        ("[0.5, 2.0]", "[1, 1]", "6: space.scales: expected [low, high] with"),
        ("repeats: 2", "scale_product: [0.1, 4]", "5: space.scale_product: expected [low, high] inside [0.25, 4], "
         "found [0.1, 4.0]"),
        ("max_depth: 40", "max_depth: 2", "8: space.max_depth: expected more than the 2 frozen layers, found 2"),
        ("repeats: 2", "sources: [a, a]", "5: space.sources: expected each source once, found ['a', 'a']"),
        ("repeats: 2", "sources: [a, c]", "5: space.sources[1]: expected one of base, a, b, found 'c'"),
        ("repeats: 2", "sources: [merged]", "5: space.sources[0]: expected one of base, a, b, found 'merged'"),
        ("repeats: 2", "embeddings_from: bass", "5: space.embeddings_from: expected one of base, a, b, found 'bass'; "
         "did you mean 'base'?"),
        ("repeats: 2", "frozen_from: c", "5: space.frozen_from: expected one of base, a, b, found 'c'"),
    ],
)  # fmt: skip
def test_a_wrong_layer_flow_is_refused_with_key_and_line(tmp_path: Path, right: str, wrong: str, message: str) -> None:
    assert f"campaign.yaml:{message}" in refused(tmp_path, FLOW.replace(right, wrong))


@pytest.mark.parametrize(
    ("right", "wrong", "message"),
    [
        ("operator: linear", "operator: tise", "5: space.merge.operator: expected one of"),
        ("operator: linear", "operator: ties", "5: space.merge.operator: expected a base, which ties need, found none"),
        ("{layer_blocks: 3}", "{depth: linear}", "6: space.merge.groups.depth: expected constant in a joint space, "
         "found 'linear'; a path that leaves out a knot's layer would not tell the knot's genes"),
        ("[merged, b]", "[a, b]", "9: space.flow.sources: expected merged among them, found ['a', 'b']"),
        ("[merged, b]", "[merged, c]", "9: space.flow.sources[1]: expected one of merged, a, b, found 'c'"),
        ("[hub/a, hub/b]", "[hub/a, hub/b, hub/merged]", "3: space.kind: expected no parent called merged"),
        ("scales: false", "scale: false", "8: space.flow.scale: expected one of kind, sources"),
    ],
)  # fmt: skip
def test_a_wrong_joint_space_is_refused_with_key_and_line(tmp_path: Path, right: str, wrong: str, message: str) -> None:
    assert f"campaign.yaml:{message}" in refused(tmp_path, JOINT.replace(right, wrong))


@pytest.mark.parametrize("option", [{"discrete": "annealing"}, {"number_share": 2}, {"elitism": 1}])
def test_a_wrong_option_of_the_structured_search_shows_before_anything_is_loaded(
    tmp_path: Path, option: dict[str, Any]
) -> None:
    (key,) = option
    message = refused(tmp_path, FLOW + f"optimiser: {{kind: structured, {key}: {option[key]}}}\n")
    assert f"campaign.yaml:10: optimiser.{key}: expected " in message
