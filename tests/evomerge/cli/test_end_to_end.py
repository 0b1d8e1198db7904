"""Search, verify, export and eval through the command line, then plain transformers: each kind of model, to the end."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
import yaml

import evomerge as em
from tests.evomerge.cli.kinds_of_models import KINDS, save_three
from tests.evomerge.conftest import Outcome

CHOICES = ("even", "not even")
N_ITEMS = 24
CHECKS = f"""
NAMES = tuple(str(i) for i in range({N_ITEMS}))

def labels(model, tokenizer, items=NAMES):
    \"\"\"How likely the right label is.\"\"\"
    read = {{item: tokenizer(f"{{item}} is", return_tensors="pt") for item in items}}
    return {{item: float(model(**read[item]).logits.softmax(-1)[0, int(item) % 2]) for item in items}}

labels.item_ids = NAMES
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_what_the_search_scored_is_what_plain_transformers_computes_from_the_export(
    kind: str, evomerge: Callable[..., Outcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    save_three(KINDS[kind], tmp_path)
    task = write_campaign(tmp_path, kind)
    for command in ("run campaign.yaml --run-dir run", "verify run --top 1", "export run --pick 6 --out out"):
        done = evomerge(*command.split())
        assert done.code == 0, done.err + done.out
    model, found = load("out")
    assert type(model).__name__ == KINDS[kind].named
    scored = em.load("run").items.scores(6)
    assert scored is not None
    assert all(value == pytest.approx(found(item), abs=1e-4) for item, value in numbered(scored).items())
    assert evomerge("eval", "out", "--tasks", task, "--out", "eval.json").code == 0
    (row,) = [row for row in json.loads(Path("eval.json").read_text())["tasks"] if row["items"]]
    assert {int(i.rpartition("/")[2]): v for i, v in row["items"].items()} == pytest.approx(
        {item: found(item) for item in range(N_ITEMS)}, abs=1e-4
    )


def write_campaign(root: Path, kind: str) -> str:
    (root / "checks.py").write_text(CHECKS)
    lines = [{"id": str(i), "question": f"{i} is", "choices": CHOICES, "gold": i % 2} for i in range(N_ITEMS)]
    (root / "words.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    task = "python:checks.py:labels" if kind == "classifier" else "words.jsonl:margin"
    campaign = {
        "name": kind,
        "base": "base",
        "parents": ["a", "b"],
        "objectives": [{"name": "numbers", "tasks": [task]}],
        "space": {"operator": ["task_arithmetic"], "groups": {"layer_blocks": 2}, "genes": {"weight": [0.2, 0.8]}},
        "optimiser": {"kind": "random"},
        "budget": {"evaluations": 8},
        "export": {"dtype": "float32"},
    }
    (root / "campaign.yaml").write_text(yaml.safe_dump(campaign))
    return task


def load(directory: str) -> tuple[Any, Callable[[int], float]]:
    """Return an export, loaded by the class that its config names, and what it computes of an item."""
    named = json.loads((Path(directory) / "config.json").read_text())["architectures"][0]
    model, told = getattr(transformers, named).from_pretrained(directory, output_loading_info=True)
    assert not any(told.values()) or set(told["unexpected_keys"]) == {"mtp.fc.weight", "mtp.norm.weight"}, told
    tokenizer = transformers.AutoTokenizer.from_pretrained(directory)
    return model, lambda item: score(model.eval(), tokenizer, item)


@torch.no_grad()
def score(model: Any, tokenizer: Any, item: int) -> float:
    question = f"{item} is"
    if model.config.architectures[0].endswith("SequenceClassification"):
        return float(model(**tokenizer(question, return_tensors="pt")).logits.softmax(-1)[0, item % 2])
    right, wrong = (likelihood(model, tokenizer, question, CHOICES[i]) for i in (item % 2, 1 - item % 2))
    return right - wrong


def likelihood(model: Any, tokenizer: Any, question: str, choice: str) -> float:
    source = tokenizer.encode(question)
    if model.config.is_encoder_decoder:
        labels = tokenizer.encode(f" {choice}", add_special_tokens=False)
        logs = model(input_ids=torch.tensor([source]), labels=torch.tensor([labels])).logits[0].log_softmax(-1)
        return sum(float(logs[k, label]) for k, label in enumerate(labels))
    ids = tokenizer.encode(f"{question} {choice}")
    logs = model(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)
    return sum(float(logs[k - 1, ids[k]]) for k in range(len(source), len(ids)))


def numbered(scored: Any) -> dict[int, float]:
    """Return number of an item -> its score."""
    return {int(item.rpartition("/")[2]): float(v) for item, v in zip(scored.item_ids, scored.values, strict=True)}
