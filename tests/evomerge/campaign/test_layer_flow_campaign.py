"""Searching paths through parents of different depths, from a campaign file to a checkpoint for transformers."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from evomerge.archive import Archive
from search_spaces.layers.architecture import build_module
from search_spaces.live.layer_surgery import FlowResident
from search_spaces.parents.parents import Parents
from search_spaces.recipes.layer_path import path_text
from tests.conftest import save_model, tiny_config
from tests.evomerge.conftest import Outcome, write_tasks

SPACE = {"kind": "layer_flow", "repeats": 2, "max_depth": 6, "window": 1, "scales": [0.5, 2.0]}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a deep and a shallow Llama of one width."""
    from transformers import LlamaForCausalLM

    root = tmp_path_factory.mktemp("models")
    for seed, (name, layers) in enumerate({"deep": 4, "flat": 2, "also_flat": 2}.items()):
        torch.manual_seed(seed)
        save_model(root / name, LlamaForCausalLM(tiny_config(layers=layers)))
    write_tasks(root)
    return root


def write_campaign(models: Path, directory: Path, **changes: Any) -> Path:
    data = {
        "name": "paths",
        "parents": [str(models / "deep"), str(models / "flat")],
        "space": SPACE,
        "objectives": [{"name": "sums", "tasks": [str(models / "sums.jsonl")]}],
        "optimiser": {"kind": "structured", "population": 4},
        "budget": {"evaluations": 8},
        "export": {"dtype": "float32"},
        **changes,
    }
    path = directory / "campaign.yaml"
    path.write_text(yaml.safe_dump(data))
    return path


def test_a_search_of_paths_ends_in_a_plain_checkpoint(
    models: Path, tmp_path: Path, evomerge: Callable[..., Outcome]
) -> None:
    from transformers import AutoModelForCausalLM

    run = tmp_path / "run"
    assert evomerge("run", write_campaign(models, tmp_path), "--run-dir", run).code == 0
    with contextlib.closing(Archive.read(run / "archive.sqlite")) as archive:
        recipes = {number: archive.candidate(number).recipe for number in range(8)}
        assert all(record.estimate is not None for record in archive.records("search"))
    assert [path_text(recipes[k]) for k in (0, 1)] == ["deep 0-3", "flat 0-1"]
    other = next(k for k, r in recipes.items() if r.input_scales and len(r.layers or ()) != 4)

    shown = json.loads(evomerge("pareto", run, "--json").out)
    assert all("layers" in point["recipe"] for point in shown["front"])
    assert "layers" in evomerge("pareto", run).out
    assert "source layer" in (run / "report.html").read_text()
    assert evomerge("verify", run, "--top", 1).code == 0

    assert evomerge("export", run, "--pick", other, "--out", tmp_path / "out").code == 0
    assert f"layers are, in order: {path_text(recipes[other])}." in (tmp_path / "out" / "README.md").read_text()
    exported = AutoModelForCausalLM.from_pretrained(tmp_path / "out").eval()
    parents = Parents.of(recipes[other])
    resident = FlowResident(build_module(parents["deep"], compute_dtype=torch.float32), parents)
    resident.become(recipes[other])
    ids = torch.arange(3, 23)[None]
    with torch.no_grad():
        found, expected = exported(ids).logits, resident.model(ids).logits
    assert exported.config.num_hidden_layers == len(recipes[other].layers or ())
    assert torch.linalg.norm(found - expected) <= 1e-4 * torch.linalg.norm(expected)


def test_a_joint_search_of_weights_and_paths_runs(
    models: Path, tmp_path: Path, evomerge: Callable[..., Outcome]
) -> None:
    space = {"kind": "joint", "merge": {"operator": ["linear", "slerp"], "groups": {"layer_blocks": 2}}}
    parents = [str(models / "flat"), str(models / "also_flat")]
    path = write_campaign(
        models, tmp_path, parents=parents, space=space, optimiser={"kind": "cma_es"}, budget={"evaluations": 6}
    )
    assert evomerge("run", path, "--run-dir", tmp_path / "run").code == 0
    with contextlib.closing(Archive.read(tmp_path / "run" / "archive.sqlite")) as archive:
        paths = [path_text(archive.candidate(number).recipe) for number in range(6)]
        assert all(record.estimate is not None for record in archive.records("search"))
    assert paths[:3] == ["flat 0-1", "also_flat 0-1", "merged 0-1"]
    assert any("merged" in path for path in paths[3:])


def test_plan_names_the_genes_of_a_path(models: Path, tmp_path: Path, evomerge: Callable[..., Outcome]) -> None:
    planned = evomerge("plan", write_campaign(models, tmp_path), "--genes")
    assert planned.code == 0, planned.err
    for words in (
        "36 genes",
        "include (pass 2), flat, layers 0 to 1",
        "input scale (pass 1), deep, layers 0 to 3",
        "0.5 to 2",
    ):
        assert words in planned.out


def test_scales_that_cannot_be_folded_are_refused_with_the_reason(
    tmp_path: Path, evomerge: Callable[..., Outcome]
) -> None:
    from transformers import OPTConfig, OPTForCausalLM

    sizes = {"hidden_size": 32, "ffn_dim": 48, "word_embed_proj_dim": 32, "num_hidden_layers": 2}
    for name in ("one", "two"):
        config = OPTConfig(vocab_size=49, num_attention_heads=4, do_layer_norm_before=False, **sizes)
        save_model(tmp_path / name, OPTForCausalLM(config))
    write_tasks(tmp_path)
    parents = [str(tmp_path / "one"), str(tmp_path / "two")]
    refused = evomerge("run", write_campaign(tmp_path, tmp_path, parents=parents), "--run-dir", tmp_path / "run")
    assert refused.code == 1
    assert "space.scales: expected false, found [0.5, 2.0]" in refused.err
    assert "no norm after its last layer" in " ".join(refused.err.split())
