"""Statistics of a parent do not depend on the names, wrappers and packings of its files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

import evomerge as em
from tests.conftest import save_tokenizer
from tests.search_spaces.architectures.models import stirred
from tests.search_spaces.architectures.tiny import tiny_config

Save = Callable[[Any, Path], object]


def plainly(model: Any, directory: Path) -> None:
    model.save_pretrained(directory)


def packed(model: Any, directory: Path) -> None:
    model.save_pretrained(directory, save_original_format=False)


def without_head(model: Any, directory: Path) -> None:
    model.model.save_pretrained(directory)


def with_prefixes_of_2024(model: Any, directory: Path) -> None:
    model.save_pretrained(directory, save_original_format=False)
    file = directory / "model.safetensors"
    former = {"model.language_model.": "language_model.model.", "lm_head.": "language_model.lm_head.", "model.": ""}
    tensors = {}
    for name, tensor in load_file(file).items():
        old = next((prefix for prefix in former if name.startswith(prefix)), "")
        tensors[former.get(old, "") + name.removeprefix(old)] = tensor
    assert any(name.startswith("language_model.model.layers.") for name in tensors)
    save_file(tensors, file, metadata={"format": "pt"})


def only_text(model: Any, directory: Path) -> None:
    alone = transformers.Gemma3ForCausalLM(model.config.text_config)
    alone.model.load_state_dict(model.model.language_model.state_dict())
    alone.lm_head.load_state_dict(model.lm_head.state_dict())
    alone.save_pretrained(directory)


LAYOUTS: dict[str, tuple[str, str, dict[str, Any], tuple[Save, Save]]] = {
    "bare": ("Qwen2ForCausalLM", "qwen2", {"tie_word_embeddings": True}, (plainly, without_head)),
    "old prefixes": ("Gemma3ForConditionalGeneration", "gemma3", {}, (packed, with_prefixes_of_2024)),
    "new prefixes": ("Gemma3ForConditionalGeneration", "gemma3", {}, (with_prefixes_of_2024, packed)),
    "only text": ("Gemma3ForConditionalGeneration", "gemma3", {}, (plainly, only_text)),
    "packed experts": ("Qwen3MoeForCausalLM", "qwen3_moe", {}, (plainly, packed)),
    "single experts": ("Qwen3MoeForCausalLM", "qwen3_moe", {}, (packed, plainly)),
}


CASES = [*((layout, "regmean_plus") for layout in LAYOUTS), ("old prefixes", "regmean"), ("old prefixes", "fisher")]


@pytest.mark.parametrize(("layout", "method"), CASES)
def test_a_parent_in_another_layout_merges_as_it_does_in_the_base_s(
    layout: str, method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVOMERGE_CACHE", str(tmp_path / "cache"))
    named, model_type, settings, (as_base, otherwise) = LAYOUTS[layout]
    torch.manual_seed(0)
    model = stirred(getattr(transformers, named)(tiny_config(model_type, settings)))
    for name in ("base", "a", "b"):
        with torch.no_grad():
            for key, parameter in model.named_parameters():
                if not any(part in key for part in ("vision_tower", "projector")):  # the base's, where only text is
                    parameter.add_(torch.randn(parameter.shape) * 0.1)
        for save, directory in ((as_base, tmp_path / name), (otherwise, tmp_path / f"other_{name}")):
            save(model, directory)
            save_tokenizer(directory)
    (tmp_path / "own.jsonl").write_text("".join(json.dumps({"text": f"text {i} of abc"}) + "\n" for i in range(3)))
    merged = [merge(method, tmp_path, parents) for parents in (("a", "b"), ("other_a", "other_b"), ("other_a", "b"))]
    plain = merge("linear", tmp_path, ("a", "b"))
    moved = [name for name in plain if not torch.allclose(merged[0][name], plain[name], atol=1e-4)]
    assert len(moved) > 8
    for other in merged[1:]:
        torch.testing.assert_close(other, merged[0], rtol=1e-4, atol=1e-5)


def merge(method: str, root: Path, parents: tuple[str, ...]) -> dict[str, torch.Tensor]:
    file = root / "merge.yml"
    recipe: dict[str, Any] = {"merge_method": method, "dtype": "float32"}
    recipe["models"] = [{"model": str(root / name)} for name in parents]
    recipe["base_model"] = str(root / "base")
    if method != "linear":
        recipe["statistics"] = {"calibration": "own.jsonl"}
    else:
        recipe["models"] = [{**model, "parameters": {"weight": 0.5}} for model in recipe["models"]]
        recipe["models"].append({"model": str(root / "base"), "parameters": {"weight": 0.0}})
    file.write_text(json.dumps(recipe))
    out = em.merge(file, root / f"out_{method}_{'_'.join(parents)}").directory
    return load_file(out / "model.safetensors")
