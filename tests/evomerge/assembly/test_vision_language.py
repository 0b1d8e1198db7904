"""Campaigns over vision-language checkpoints: scored with text, towers searched or frozen, exported as they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file

import evomerge as em
from tests.fitness.engine.architectures import byte_level_tokenizer
from tests.fitness.engine.vision_language import vision_language_model


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Gemma 3 that sees, twice perturbed in every weight, and questions."""
    root = tmp_path_factory.mktemp("vision_language")
    for seed, name in enumerate(("base", "a", "b")):
        model, noise = vision_language_model("gemma3"), torch.Generator().manual_seed(seed)
        if seed:
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter.add_(torch.randn(parameter.shape, generator=noise) * 0.05)
        model.save_pretrained(root / name)
        byte_level_tokenizer().save_pretrained(root / name)
    lines = [{"question": f"{i} sheep are", "choices": ["black", "lazy dogs"], "gold": i % 2} for i in range(16)]
    (root / "sheep.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return root


def searched(models: Path, run_dir: Path, stack: str | None) -> em.Run:
    return em.search(
        {"a": models / "a", "b": models / "b"},
        {"sheep": str(models / "sheep.jsonl")},
        base=models / "base",
        space=em.spaces.Weights("task_arithmetic", layer_blocks=1, stack=stack, genes={"weight": (0.3, 0.6)}),
        optimiser="random",
        evaluations=7,
        run_dir=run_dir,
        export={"dtype": "float32"},
    )


def of_stack(directory: Path, text: bool) -> dict[str, torch.Tensor]:
    tensors = load_file(directory / "model.safetensors")
    return {name: tensor for name, tensor in tensors.items() if name.startswith("language_model.") is text}


@pytest.mark.parametrize("stack", [None, "text"])
def test_the_tower_is_searched_or_with_a_stack_of_text_frozen(stack: str | None, models: Path, tmp_path: Path) -> None:
    run = searched(models, tmp_path / "run", stack)
    out = run.export(6, tmp_path / "out")  # a candidate that the optimiser proposed
    base, merged = of_stack(models / "base", text=False), of_stack(out, text=False)
    moved = [name for name in base if not torch.equal(base[name], merged[name])]
    assert moved == [] if stack else len(moved) == len(base)
    weights, before = of_stack(out, text=True), of_stack(models / "base", text=True)
    assert weights
    assert not any(torch.equal(weights[name], before[name]) for name in weights)


def test_an_export_loads_as_the_class_of_the_base_and_is_evaluated_as_its_logits_say(
    models: Path, tmp_path: Path
) -> None:
    run = searched(models, tmp_path / "run", None)
    out = run.export(6, tmp_path / "out")
    model, info = transformers.AutoModelForImageTextToText.from_pretrained(out, output_loading_info=True)
    assert type(model) is transformers.Gemma3ForConditionalGeneration
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    tokenizer = transformers.AutoTokenizer.from_pretrained(out)
    found = em.evaluate(out, str(models / "sheep.jsonl"))
    values = {row["task"]: row["items"] for row in found.rows}["sheep"]
    for number, item in enumerate(values):
        assert values[item] == by_hand(model, tokenizer, number), item


@torch.no_grad()
def by_hand(model: Any, tokenizer: Any, number: int) -> float:
    question = tokenizer.encode(f"{number} sheep are")
    likelihoods = []
    for choice in (" black", " lazy dogs"):
        ids = torch.tensor([tokenizer.encode(f"{number} sheep are{choice}")])
        logs = model(input_ids=ids).logits[0].log_softmax(-1)
        likelihoods.append(sum(float(logs[k - 1, ids[0, k]]) for k in range(len(question), ids.shape[1])))
    return float(likelihoods[number % 2] > likelihoods[1 - number % 2])
