from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from search_spaces.checks.preflight import preflight
from search_spaces.errors import SpaceError
from search_spaces.merging.materialise import merged_tensor
from search_spaces.parents.checkpoint import Checkpoint
from search_spaces.parents.parents import Parents
from search_spaces.recipes.recipe import ParentSource
from search_spaces.recipes.rule import Input, Rule
from tests.conftest import Family, make_family
from tests.search_spaces.layers.test_architecture import save_family
from tests.search_spaces.merging.recipes import recipe
from tests.search_spaces.parents.adapters import materialised, save_adapter

# peft tells what it decides by itself, and is behind transformers in what is deprecated.
pytestmark = [pytest.mark.filterwarnings("ignore::UserWarning"), pytest.mark.filterwarnings("ignore::FutureWarning")]

KINDS: dict[str, dict[str, Any]] = {
    "alpha over rank": {"r": 4, "lora_alpha": 16},
    "rank-stabilised": {"r": 4, "lora_alpha": 16, "use_rslora": True},
    "ranks that differ": {"r": 4, "rank_pattern": {"down_proj": 2, "layers.1.self_attn.q_proj": 3}},
    "alphas that differ": {"r": 4, "alpha_pattern": {r"layers\.0\..*q_proj": 7, "down_proj": 2}},
    "some layers only": {"layers_to_transform": [1]},
    "modules to save": {"modules_to_save": ["input_layernorm"]},
    "an adapted embedding": {"target_modules": ["embed_tokens", "v_proj"]},
}


@pytest.fixture(scope="module")
def adapter(family: Family, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_adapter(family.base, tmp_path_factory.mktemp("adapter"))


def assert_same_weights(ours: Checkpoint, directory: Path) -> None:
    merged = Checkpoint.open(ParentSource(str(directory)))
    assert set(ours.names) == set(merged.names)
    for name in merged.names:
        torch.testing.assert_close(ours.tensor(name), merged.tensor(name), rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_an_adapter_on_its_base_is_what_peft_makes_of_them(kind: str, family: Family, tmp_path: Path) -> None:
    directory = save_adapter(family.base, tmp_path / "adapter", **KINDS[kind])
    ours = Checkpoint.open(ParentSource(str(family.base), adapter=str(directory)))
    expected = materialised(family.base, directory, tmp_path / "merged")
    assert any(not ours.tensor(n).equal(Checkpoint.open(ParentSource(str(family.base))).tensor(n)) for n in ours.names)
    assert_same_weights(ours, expected)


FUSED = {
    "Phi3": ["qkv_proj", "gate_up_proj"],
    "GPTNeoX": ["query_key_value", "dense_h_to_4h"],
    "Mixtral": ["q_proj", "o_proj"],
    "Mamba": ["in_proj", "x_proj"],
}


@pytest.mark.parametrize("architecture", FUSED)
def test_fused_and_unusual_modules_are_adapted_by_their_names(architecture: str, tmp_path: Path) -> None:
    base = save_family(architecture, tmp_path)["base"]
    directory = save_adapter(base, tmp_path / "adapter", target_modules=FUSED[architecture])
    ours = Checkpoint.open(ParentSource(str(base), adapter=str(directory)))
    assert_same_weights(ours, materialised(base, directory, tmp_path / "merged"))


def test_weights_stored_the_other_way_round_are_adapted(tmp_path: Path) -> None:
    base = save_family("GPT2", tmp_path)["base"]
    directory = save_adapter(base, tmp_path / "adapter", target_modules=["c_attn", "c_proj"], fan_in_fan_out=True)
    ours = Checkpoint.open(ParentSource(str(base), adapter=str(directory)))
    assert_same_weights(ours, materialised(base, directory, tmp_path / "merged"))


@pytest.mark.parametrize("targets", [["lm_head"], ["embed_tokens", "lm_head"]])
def test_an_adapter_on_a_head_that_was_tied_unties_it(targets: list[str], family: Family, tmp_path: Path) -> None:
    directory = save_adapter(family.base, tmp_path / "adapter", target_modules=targets)
    ours = Checkpoint.open(ParentSource(str(family.base), adapter=str(directory)))
    assert not ours.tied
    embedding = Checkpoint.open(ParentSource(str(family.base))).tensor("model.embed_tokens.weight")
    assert ours.tensor("model.embed_tokens.weight").equal(embedding) == ("embed_tokens" not in targets)
    update = load_file(directory / "adapter_model.safetensors")
    a, b = (update[f"base_model.model.lm_head.lora_{side}.weight"] for side in "AB")
    torch.testing.assert_close(ours.tensor("lm_head.weight"), embedding + 2 * b @ a)


def test_the_directory_of_an_adapter_is_a_parent(adapter: Path, family: Family) -> None:
    named = Checkpoint.open(ParentSource(str(family.base), adapter=str(adapter)))
    found = Checkpoint.open(ParentSource(str(adapter)))
    assert found.directory == family.base.resolve()
    assert all(found.tensor(name).equal(named.tensor(name)) for name in named.names)


def test_weights_without_an_adapter_stay_views_of_the_file(adapter: Path) -> None:
    found = Checkpoint.open(ParentSource(str(adapter)))
    norm = "model.norm.weight"
    assert found.tensor(norm).data_ptr() == found.tensor(norm).data_ptr()


def test_a_low_precision_base_is_adapted_in_float32(family: Family, adapter: Path, tmp_path: Path) -> None:
    tensors = {name: tensor.bfloat16() for name, tensor in load_file(family.base / "model.safetensors").items()}
    (tmp_path / "config.json").write_text((family.base / "config.json").read_text())
    save_file(tensors, tmp_path / "model.safetensors")
    found = Checkpoint.open(ParentSource(str(tmp_path), adapter=str(adapter)))
    name = "model.layers.0.mlp.down_proj.weight"
    assert (found.dtype(name), found.dtype("model.norm.weight")) == (torch.float32, torch.bfloat16)
    assert found.tensor(name).dtype is torch.float32
    assert not found.tensor(name).equal(found.tensor(name).bfloat16().float())


@pytest.mark.parametrize("operator", ["linear", "task_arithmetic", "ties", "dare_ties"])
def test_a_merge_of_adapters_is_the_merge_of_the_models_that_they_make(
    operator: str, family: Family, tmp_path: Path
) -> None:
    lazy, whole = {"base": ParentSource(str(family.base))}, {"base": ParentSource(str(family.base))}
    for seed, rank in ((1, 2), (2, 5)):
        directory = save_adapter(family.base, tmp_path / f"adapter{seed}", seed=seed, r=rank)
        lazy[f"l{seed}"] = ParentSource(str(family.base), adapter=str(directory))
        whole[f"l{seed}"] = ParentSource(str(materialised(family.base, directory, tmp_path / f"merged{seed}")))
    inputs = tuple(Input(name, {"weight": w}) for name, w in (("l1", 0.6), ("l2", 0.5)))
    results = []
    for sources in (lazy, whole):
        parents = Parents.open(sources)
        merge = recipe(parents, Rule(operator, inputs))
        results.append({name: merged_tensor(merge, parents, name) for name in parents["base"].names})
    for name, expected in results[1].items():
        torch.testing.assert_close(results[0][name], expected, rtol=0, atol=2e-6)


def edited(adapter: Path, target: Path, **settings: object) -> Path:
    """Copy an adapter with another config."""
    target.mkdir()
    config = json.loads((adapter / "adapter_config.json").read_text())
    (target / "adapter_config.json").write_text(json.dumps({**config, **settings}))
    (target / "adapter_model.safetensors").write_bytes((adapter / "adapter_model.safetensors").read_bytes())
    return target


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"use_dora": True}, "use_dora: expected it to be off: DoRA renormalises"),
        ({"peft_type": "IA3"}, "peft_type: expected LORA, found 'IA3'"),
        ({"init_lora_weights": "pissa"}, "init_lora_weights: .*found 'pissa'"),
        ({"trainable_token_indices": [3]}, "trainable_token_indices: expected rows of these tokens, found none"),
        ({"alora_invocation_tokens": [5, 6]}, "alora_invocation_tokens: .*acts only after these tokens"),
        ({"alpha_pattern": {"(": 3}}, "alpha_pattern: expected numbers, by patterns of modules"),
        ({"alpha_pattern": {"((.|.)+)+[!?]": 3}}, "alpha_pattern: .*one that takes for ever on "),
        ({"alpha_pattern": {"(" * 5000 + ")" * 5000: 3}}, "alpha_pattern: expected numbers, by patterns of modules"),
        ({"alpha_pattern": ["q_proj"]}, "alpha_pattern: expected numbers, by patterns of modules, found"),
        ({"alpha_pattern": {"q_proj": "3"}}, "alpha_pattern: expected numbers, by patterns of modules, found"),
        ({"r": 10**9}, "r: expected a rank from 1 to 1,000,000, found 1000000000"),
        ({"r": 7}, "r: expected 4, the rank of the factors of"),
        ({"r": -4}, "r: expected a rank from 1"),
        ({"r": [4]}, "r: expected a rank from 1"),
        ({"lora_alpha": float("nan")}, "lora_alpha: expected a number, found nan"),
        ({"lora_alpha": None}, "lora_alpha: expected a number, found None"),
        ({"modules_to_save": [["lm_head"]]}, "modules_to_save: expected a list of modules"),
        ({"base_model_name_or_path": None}, "expected base_model_name_or_path, found none; name the base"),
    ],
)
def test_what_is_more_than_a_low_rank_update_is_refused(
    settings: dict[str, object], message: str, adapter: Path, tmp_path: Path
) -> None:
    with pytest.raises(SpaceError, match=message):
        Checkpoint.open(ParentSource(str(edited(adapter, tmp_path / "edited", **settings))))


def test_an_adapter_for_another_base_is_one_clear_error(adapter: Path, tmp_path: Path) -> None:
    wide = make_family(tmp_path / "wide", (), hidden=64)
    with pytest.raises(SpaceError, match=r"expected an adapter for this base, found one for .*down_proj is"):
        Checkpoint.open(ParentSource(str(wide.base), adapter=str(adapter)))
    deep = make_family(tmp_path / "shallow", (), layers=1)
    with pytest.raises(SpaceError, match=r"it changes model.layers.1.*, which this base does not have"):
        Checkpoint.open(ParentSource(str(deep.base), adapter=str(adapter)))


def test_an_adapter_on_an_adapter_is_refused(adapter: Path) -> None:
    with pytest.raises(SpaceError, match="expected a full model under the adapter, found another adapter"):
        Checkpoint.open(ParentSource(str(adapter), adapter=str(adapter)))


def test_pickled_adapters_are_refused(adapter: Path, tmp_path: Path) -> None:
    directory = edited(adapter, tmp_path / "pickled")
    (directory / "adapter_model.safetensors").rename(directory / "adapter_model.bin")
    with pytest.raises(SpaceError, match=r"expected adapter_model.safetensors, found none.*which can run code"):
        Checkpoint.open(ParentSource(str(directory)))


def test_half_of_a_pair_of_factors_is_refused(adapter: Path, tmp_path: Path) -> None:
    directory = edited(adapter, tmp_path / "half")
    tensors = load_file(directory / "adapter_model.safetensors")
    del tensors["base_model.model.model.layers.0.mlp.down_proj.lora_B.weight"]
    save_file(tensors, directory / "adapter_model.safetensors")
    with pytest.raises(SpaceError, match=r"expected lora_A and lora_B of .*down_proj, found only lora_A"):
        Checkpoint.open(ParentSource(str(directory)))


def test_the_preflight_shows_adapters_and_warns_of_a_model_of_another_name(
    adapter: Path, family: Family, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(family.base, tmp_path / "copied"))
    sources = {"base": ParentSource(str(family.base)), "plain": ParentSource(str(adapter))}
    rows = {row.property: row for row in preflight(Parents.open(sources), "base").rows}
    assert (rows["adapter"].level, rows["adapter"].values["base"]) == ("ok", "none")
    sources["copy"] = ParentSource(str(copy), adapter=str(adapter))
    rows = {row.property: row for row in preflight(Parents.open(sources), "base").rows}
    assert rows["adapter"].level == "warning"
    assert rows["adapter"].note == f"'copy' puts an adapter for {family.base} on {copy}"
