"""Models that differ: refused, warned of, or merged on purpose."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file

import evomerge as em
from tests.conftest import Family
from tests.evomerge.conftest import Outcome, campaign_data, write_tasks

Command = Callable[..., Outcome]


@pytest.fixture
def slower(family: Family, tmp_path: Path) -> Family:
    """The family, its second expert with other rope settings."""
    copy = Path(shutil.copytree(family.experts["beta"], tmp_path / "slower"))
    change(copy / "config.json", rope_parameters={"rope_theta": 5e5, "rope_type": "default"})
    return Family(family.base, {"alpha": family.experts["alpha"], "beta": copy})


def change(file: Path, **keys: Any) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **keys}))


def recipe(family: Family, directory: Path, **keys: Any) -> Path:
    models = [{"model": str(expert), "parameters": {"weight": 0.5}} for expert in family.experts.values()]
    file = directory / "merge.yml"
    file.write_text(yaml.safe_dump({"merge_method": "linear", "models": models, "dtype": "float32", **keys}))
    return file


def test_another_rope_is_refused_with_both_values_and_the_way_out(
    evomerge: Command, slower: Family, tmp_path: Path
) -> None:
    done = evomerge("merge", recipe(slower, tmp_path), tmp_path / "out")
    assert done.code == 1
    assert "rope_theta: expected 10000.0 as in 'alpha', found 500000.0 in 'slower'" in done.err
    assert "allow_differences: [rope_theta]" in done.err
    assert len(done.err.strip().splitlines()) <= 5
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "keys"), [(["--allow-differences", "rope_theta"], {}), ([], {"allow_differences": ["rope_theta"]})]
)
def test_an_allowed_difference_is_merged_with_a_warning_on_stderr(
    evomerge: Command, slower: Family, tmp_path: Path, options: list[str], keys: dict[str, Any]
) -> None:
    done = evomerge("merge", recipe(slower, tmp_path, **keys), tmp_path / "out", *options)
    assert done.code == 0
    assert "warning: rope_theta: expected 10000.0 as in 'alpha', found 500000.0 in 'slower'; allowed" in done.err
    assert "rope_theta" not in done.out
    assert json.loads((tmp_path / "out" / "config.json").read_text())["rope_parameters"]["rope_theta"] == 10000.0


def test_llama_and_mistral_are_one_model_where_that_is_allowed(
    evomerge: Command, family: Family, tmp_path: Path
) -> None:
    other = Path(shutil.copytree(family.experts["beta"], tmp_path / "mistral"))
    change(other / "config.json", model_type="mistral", architectures=["MistralForCausalLM"])
    pair = Family(family.base, {"alpha": family.experts["alpha"], "beta": other})
    file = recipe(pair, tmp_path)
    assert evomerge("merge", file, tmp_path / "refused").code == 1
    assert evomerge("merge", file, tmp_path / "out", "--allow-differences", "model_type").code == 0
    merged = load_file(tmp_path / "out" / "model.safetensors")
    parents = [load_file(path / "model.safetensors") for path in pair.experts.values()]
    for name, tensor in merged.items():
        torch.testing.assert_close(tensor, (parents[0][name] + parents[1][name]) / 2)
    assert json.loads((tmp_path / "out" / "config.json").read_text())["model_type"] == "llama"


def test_what_the_preflight_warns_of_is_told_by_merges(family: Family, tmp_path: Path) -> None:
    other = Path(shutil.copytree(family.experts["beta"], tmp_path / "other"))
    change(other / "config.json", max_position_embeddings=256)
    pair = Family(family.base, {"alpha": family.experts["alpha"], "beta": other})
    done = em.merge(recipe(pair, tmp_path), tmp_path / "out")
    assert done.notes == (
        "max_position_embeddings: expected 128 as in 'alpha', found 256 in 'other'; the merge takes the base's",
    )


def test_code_beside_the_base_travels_only_where_that_is_allowed(
    evomerge: Command, family: Family, tmp_path: Path
) -> None:
    base = Path(shutil.copytree(family.experts["alpha"], tmp_path / "coded"))
    change(base / "config.json", auto_map={"AutoModel": "modeling_foo.Foo"})
    (base / "modeling_foo.py").write_text("raise SystemExit(7)\n")
    file = recipe(Family(base, {"alpha": base, "beta": family.experts["beta"]}), tmp_path)
    without = evomerge("merge", file, tmp_path / "without")
    assert "auto_map is left out, as its code (modeling_foo.py) is not there" in without.err
    assert "auto_map" not in json.loads((tmp_path / "without" / "config.json").read_text())
    assert evomerge("merge", file, tmp_path / "with", "--trust-remote-code").code == 0
    assert (tmp_path / "with" / "modeling_foo.py").read_text() == "raise SystemExit(7)\n"


def test_a_campaign_says_what_its_parents_may_differ_in(evomerge: Command, slower: Family, tmp_path: Path) -> None:
    write_tasks(tmp_path)
    file = tmp_path / "campaign.yaml"
    file.write_text(yaml.safe_dump(campaign_data(slower)))
    refused = evomerge("plan", file)
    assert refused.code == 1
    assert "rope_theta" in refused.err
    allowed = evomerge("plan", file, "--allow-differences", "rope_theta")
    assert allowed.code == 0
    (row,) = [line for line in allowed.out.splitlines() if "rope_theta" in line and not line.startswith("next:")]
    assert "warning" in row
