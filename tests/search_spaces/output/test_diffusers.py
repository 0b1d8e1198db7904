"""Components of diffusers: other file names, a config without model_type."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from search_spaces.checks.preflight import preflight
from search_spaces.errors import SpaceError
from search_spaces.output.export import export
from search_spaces.parents.checkpoint import Checkpoint
from search_spaces.parents.parents import Parents
from search_spaces.recipes.recipe import ParentSource, Recipe
from search_spaces.recipes.rule import Input, Rule

NAME = "diffusion_pytorch_model"
CONFIG = {"_class_name": "UNet2DConditionModel", "_diffusers_version": "0.31.0", "attention_head_dim": 8}
SHAPES = {
    "time_embedding.linear_1.weight": (32, 8),
    "time_embedding.linear_2.weight": (32, 32),
    "class_embedding.weight": (32, 32),
    "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q.weight": (32, 32),
    "mid_block.resnets.0.conv1.weight": (8, 8, 3, 3),
    "proj_out.weight": (32, 32),
    "conv_out.weight": (4, 8, 3, 3),
}


def component(directory: Path, seed: int, *, sharded: bool = False) -> Path:
    generator = torch.Generator().manual_seed(seed)
    tensors = {name: torch.randn(shape, generator=generator) for name, shape in SHAPES.items()}
    directory.mkdir()
    (directory / "config.json").write_text(json.dumps(CONFIG))
    if not sharded:
        save_file(tensors, directory / f"{NAME}.safetensors")
        return directory
    names = [f"{NAME}-0000{i}-of-00002.safetensors" for i in (1, 2)]
    for i, name in enumerate(names):
        save_file(dict(list(tensors.items())[i::2]), directory / name)
    weight_map = {tensor: names[i % 2] for i, tensor in enumerate(tensors)}
    (directory / f"{NAME}.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    return directory


def halves(a: Path, b: Path) -> Recipe:
    rule = Rule("linear", (Input("a", {"weight": 0.5}), Input("b", {"weight": 0.5})))
    return Recipe({"a": ParentSource(str(a)), "b": ParentSource(str(b))}, "a", (rule,), dtype="float32")


@pytest.mark.parametrize("shard_bytes", [10**9, 6000])
@pytest.mark.parametrize("sharded", [False, True])
def test_a_component_is_the_mean_under_its_own_file_names(tmp_path: Path, sharded: bool, shard_bytes: int) -> None:
    a, b = component(tmp_path / "a", 1), component(tmp_path / "b", 2, sharded=sharded)
    recipe = halves(a, b)
    out = export(recipe, Parents.of(recipe), tmp_path / "out", shard_bytes=shard_bytes)
    files = sorted(out.glob("*.safetensors"))
    assert all(file.name.startswith(NAME) for file in files)
    assert (out / f"{NAME}.safetensors.index.json").is_file() == (len(files) > 1) == (shard_bytes == 6000)
    one, two = ({k: v for file in d.glob("*.safetensors") for k, v in load_file(file).items()} for d in (a, b))
    merged = {k: v for file in files for k, v in load_file(file).items()}
    assert merged.keys() == SHAPES.keys()
    for name, tensor in merged.items():
        torch.testing.assert_close(tensor, (one[name] + two[name]) / 2)


def test_its_config_is_the_base_s_without_keys_of_transformers(tmp_path: Path) -> None:
    recipe = halves(component(tmp_path / "a", 1), component(tmp_path / "b", 2))
    out = export(recipe, Parents.of(recipe), tmp_path / "out")
    assert json.loads((out / "config.json").read_text()) == CONFIG


def test_nobody_is_warned_that_its_layers_are_guessed(tmp_path: Path) -> None:
    recipe = halves(component(tmp_path / "a", 1), component(tmp_path / "b", 2))
    rows = preflight(Parents.of(recipe), "a").rows
    # Two random components are no relatives, which is said.
    assert [row.property for row in rows if row.level != "ok"] == ["parents"]


def test_a_whole_pipeline_is_refused_with_what_to_name(tmp_path: Path) -> None:
    component(tmp_path / "unet", 1)
    (tmp_path / "model_index.json").write_text("{}")
    with pytest.raises(SpaceError, match="expected one model, found a pipeline of diffusers; name a component"):
        Checkpoint.open(ParentSource(str(tmp_path)))


def test_weights_of_another_name_are_told(tmp_path: Path) -> None:
    directory = component(tmp_path / "a", 1)
    (directory / f"{NAME}.safetensors").rename(directory / f"{NAME}.fp16.safetensors")
    with pytest.raises(SpaceError, match=rf"found {NAME}\.fp16\.safetensors; rename the whole one"):
        Checkpoint.open(ParentSource(str(directory)))
