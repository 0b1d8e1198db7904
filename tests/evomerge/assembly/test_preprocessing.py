"""Models that are no language models are searched and evaluated by Python functions, with a processor if they ask."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

import evomerge as em
from tests.conftest import save_tokenizer

CHECKS = """
import numpy as np, torch

NAMES = tuple(str(i) for i in range(12))

def labels(model, tokenizer, items=NAMES):
    scores = {}
    for item in items:
        logits = model(**tokenizer(f"item {item}", return_tensors="pt")).logits
        scores[item] = float(logits.softmax(-1)[0, int(item) % 2])
    return scores

def image(item):
    return np.random.default_rng(int(item)).integers(0, 255, (8, 8, 3), dtype=np.uint8)

def pixels(model, tokenizer, processor, items=NAMES):
    assert tokenizer is None
    inputs = {item: processor(images=image(item), return_tensors="pt") for item in items}
    return {item: float(model(**inputs[item]).logits.softmax(-1)[0, int(item) % 2]) for item in items}

labels.item_ids = pixels.item_ids = NAMES
"""
SMALL: dict[str, Any] = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_labels": 2,
}


def save_three(root: Path, build: Any) -> None:
    for seed, name in enumerate(("base", "a", "b")):
        torch.manual_seed(0)
        model, noise = build(), torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn(parameter.shape, generator=noise) * 0.3)
        model.save_pretrained(root / name)


@pytest.fixture(scope="module")
def classifiers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three two-label BERTs with a tokenizer."""
    root = tmp_path_factory.mktemp("classifiers")
    save_three(
        root, lambda: transformers.BertForSequenceClassification(transformers.BertConfig(vocab_size=49, **SMALL))
    )
    for name in ("base", "a", "b"):
        save_tokenizer(root / name)
    return _with_tasks(root)


@pytest.fixture(scope="module")
def image_classifiers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three two-label ViTs with a processor, without a tokenizer."""
    root = tmp_path_factory.mktemp("image_classifiers")
    config = transformers.ViTConfig(image_size=8, patch_size=4, **SMALL)
    save_three(root, lambda: transformers.ViTForImageClassification(config))
    size = {"height": 8, "width": 8}
    for name in ("base", "a", "b"):
        transformers.ViTImageProcessorPil(size=size).save_pretrained(root / name)
    return _with_tasks(root)


def _with_tasks(root: Path) -> Path:
    (root / "checks.py").write_text(CHECKS)
    lines = [{"question": f"{i} is", "choices": ["even", "odd"], "gold": i % 2} for i in range(12)]
    (root / "words.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return root


def arguments(task: str) -> dict[str, Any]:
    return {
        "parents": ["a", "b"],
        "base": "base",
        "objectives": {"checks": task},
        "space": em.spaces.Weights("task_arithmetic", layer_blocks=1, genes={"weight": (0.0, 1.5)}),
        "optimiser": "random",
        "export": {"dtype": "float32"},
    }


def test_a_classifier_is_searched_by_a_python_task_and_its_export_scores_the_same(
    classifiers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(classifiers)
    run = em.search(**arguments("python:checks.py:labels"), evaluations=7, run_dir=tmp_path / "run")
    best = run.front.knee
    run.export(best.candidate.number, tmp_path / "out")
    model = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "out").eval()
    assert type(model) is transformers.BertForSequenceClassification
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    with torch.no_grad():
        by_hand = [
            float(model(**tokenizer(f"item {i}", return_tensors="pt")).logits.softmax(-1)[0, i % 2]) for i in range(12)
        ]
    found = em.evaluate(tmp_path / "out", "python:checks.py:labels").value("checks.labels")
    assert found == pytest.approx(np.mean(by_hand), abs=1e-6)


@pytest.mark.parametrize("what", ["plan", "evaluate"])
def test_a_classifier_cannot_be_asked_in_text(what: str, classifiers: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(classifiers)
    with pytest.raises(em.EvomergeError, match=r"words.*BertForSequenceClassification has no head.*Python functions"):
        em.plan(**arguments("words.jsonl")) if what == "plan" else em.evaluate("base", "words.jsonl")


def test_a_model_without_tokenizer_is_scored_on_images_that_the_processor_prepares(
    image_classifiers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(image_classifiers)
    run = em.search(**arguments("python:checks.py:pixels"), evaluations=6, run_dir=tmp_path / "run")
    assert run.n_candidates == 6
    run.export(0, tmp_path / "out")
    found = em.evaluate(tmp_path / "out", "python:checks.py:pixels").value("checks.pixels")
    assert found == pytest.approx(em.evaluate("base", "python:checks.py:pixels").value("checks.pixels"), abs=1e-6)


def test_a_task_that_asks_for_a_processor_says_where_none_is(
    image_classifiers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).symlink_to(image_classifiers / "base" / name)
    monkeypatch.chdir(image_classifiers)
    with pytest.raises(em.EvomergeError, match=r"checks\.pixels: .*expected a processor.*save_pretrained"):
        em.evaluate(tmp_path, "python:checks.py:pixels")
