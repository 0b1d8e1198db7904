"""What is collected of a parent is that parent's own, although one live module becomes all of them in turn."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

import evomerge as em
from search_spaces.errors import SpaceError
from search_spaces.statistics.store import StatisticsStore
from tests.conftest import Family, make_family
from tests.evomerge.conftest import write_tasks

TEXTS = [f"text {i} {'abcdefgh' * (i % 3 + 1)} {i * 37 % 11} end" for i in range(6)]
NAME = "model.layers.1.mlp.down_proj"


@pytest.mark.parametrize("method", ["regmean", "fisher"])
def test_every_parent_s_statistics_are_what_its_own_weights_compute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    monkeypatch.setenv("EVOMERGE_CACHE", str(tmp_path / "cache"))
    family = make_family(tmp_path / "family", scale=0.2)  # far apart: nobody's statistics are like another's
    (tmp_path / "own.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    (tmp_path / "merge.yml").write_text(
        json.dumps(
            {
                "merge_method": method,
                "base_model": str(family.base),
                "models": [{"model": str(expert)} for expert in family.experts.values()],
                "dtype": "float32",
                "statistics": {"calibration": "own.jsonl"},
            }
        )
    )
    done = em.merge(tmp_path / "merge.yml", tmp_path / "out")
    digests = json.loads((done.directory / "recipe.json").read_text())["statistics"]
    tokenizer = AutoTokenizer.from_pretrained(family.base)
    for name, expert in family.experts.items():
        model = AutoModelForCausalLM.from_pretrained(expert)
        layer = model.get_submodule(NAME)
        kind = "gram" if method == "regmean" else "fisher"
        found = StatisticsStore().tensor(digests[name], kind, f"{NAME}.weight")
        assert found is not None
        seen: list[torch.Tensor] = []
        layer.register_forward_pre_hook(lambda _, args, seen=seen: seen.append(args[0][0].detach()))
        squares = torch.zeros_like(layer.weight)
        for text in TEXTS:
            ids = tokenizer(text, return_tensors="pt")["input_ids"]
            model(input_ids=ids, labels=ids).loss.backward()
            squares += layer.weight.grad.square()
            model.zero_grad()
        x = torch.cat(seen)
        expected = x.T @ x / len(x) if method == "regmean" else squares * (found.norm() / squares.norm())
        torch.testing.assert_close(found, expected, atol=1e-4 * float(expected.abs().max()), rtol=1e-3)


@pytest.fixture
def recipe(tmp_path: Path, family: Family, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EVOMERGE_CACHE", str(tmp_path / "cache"))
    write_tasks(tmp_path)
    models = [{"model": str(expert)} for expert in family.experts.values()]
    statistics = {"tasks": ["sums.jsonl", "words.jsonl"], "prompts": 2}
    path = tmp_path / "merge.yml"
    path.write_text(
        json.dumps({"merge_method": "regmean", "models": models, "dtype": "float32", "statistics": statistics})
    )
    return path


def test_torn_files_of_the_cache_are_collected_again(recipe: Path, tmp_path: Path) -> None:
    em.merge(recipe, tmp_path / "one")
    files = [*(tmp_path / "cache" / "statistics").rglob("*.json"), *(tmp_path / "cache").rglob("gram.safetensors")]
    assert len(files) == 3
    for file in files:
        file.write_bytes(file.read_bytes()[:-1])
    em.merge(recipe, tmp_path / "two")
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "two"))
    assert all(one[name].equal(two[name]) for name in one)


def test_a_cache_that_cannot_be_written_to_is_one_sentence(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVOMERGE_CACHE", str(recipe))
    with pytest.raises(SpaceError, match=r"statistics: expected a cache to write to, found: .*; set EVOMERGE_CACHE to"):
        em.merge(recipe, tmp_path / "out")
