"""Every kind of objective through the whole program: search, held-out items, a Ray worker, one checkpoint."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from transformers import AutoTokenizer

from evomerge.archive import Archive
from evomerge.assembly import MakeWorker, build_parts, build_pool, build_worker
from evomerge.candidate import Candidate, Scored
from evomerge.config import dump_campaign, load_campaign
from fitness.scores import Budget
from tests.conftest import Family
from tests.evomerge.conftest import Outcome

Command = Callable[..., Outcome]
OBJECTIVES = [
    {"name": "sums", "tasks": ["sums.jsonl", "sums.jsonl:margin", "sums.jsonl:entropy"]},
    {"name": "near alpha", "tasks": ["sums.jsonl:js_divergence"], "expert": "alpha"},
    {"name": "near beta", "tasks": ["words.jsonl:js_divergence"], "expert": "beta"},
    {"name": "letters", "tasks": ["python:checks.py:letters"]},
]
CHECKS = '''
def letters(model, tokenizer, items=tuple("abcdefghij")):
    """The probability of each letter after itself."""
    import torch
    ids = tokenizer(list(items), return_tensors="pt").input_ids
    p = torch.softmax(model(ids).logits[:, -1], -1)
    return dict(zip(items, p[torch.arange(len(ids)), ids[:, -1]].tolist()))
'''


@pytest.fixture
def campaign(campaign_file: Callable[..., Path]) -> Callable[..., Path]:
    def write(**overrides: object) -> Path:
        path = campaign_file(**{"objectives": OBJECTIVES, "engine": {"dtype": "float32"}, **overrides})
        (path.parent / "checks.py").write_text(CHECKS)
        return path

    return write


def alone(parts, name: str) -> Candidate:
    landmarks = {landmark.name: landmark.recipe for landmark in parts.space.landmarks()}
    return Candidate(0, landmarks[name])


def test_every_objective_is_searched_and_verified(evomerge: Command, campaign: Callable[..., Path]) -> None:
    path = campaign(budget={"evaluations": 8})
    run = path.parent / "run"
    assert evomerge("run", path, "--run-dir", run).code == 0
    assert evomerge("verify", run, "--top", 1).code == 0
    archive = Archive.read(run / "archive.sqlite")
    numbers = {candidate.label: candidate.number for candidate in archive.landmarks()}
    for split in ("search", "test"):
        objectives = {}
        for name in ("alpha", "beta"):
            scores = archive.scores(numbers[name], split)
            assert scores is not None
            values = dict(zip(scores.item_ids, scores.values, strict=True))
            for task in ("sums", "words"):
                of_task = [v for item, v in values.items() if item.startswith(f"{task}:js_divergence/")]
                objectives[name, task] = np.mean(of_task)
        assert objectives["alpha", "sums"] == pytest.approx(0.0, abs=1e-7)
        assert objectives["beta", "words"] == pytest.approx(0.0, abs=1e-7)
        assert -math.log(2) < objectives["alpha", "words"] < -1e-6
        assert -math.log(2) < objectives["beta", "sums"] < -1e-6


def test_a_recipe_scores_the_same_whatever_was_scored_before(campaign: Callable[..., Path]) -> None:
    path = campaign()
    parts = build_parts(load_campaign(path))
    worker = build_worker(parts)
    orders = (("alpha", "beta", "uniform mean"), ("uniform mean", "beta", "alpha"))
    first, second = ({n: worker.evaluate(alone(parts, n), Budget("search")) for n in order} for order in orders)
    for name in orders[0]:
        assert isinstance(first[name], Scored)
        assert isinstance(second[name], Scored)
        assert first[name].scores == second[name].scores


def test_a_worker_made_elsewhere_gives_the_same_scores(campaign: Callable[..., Path]) -> None:
    path = campaign()
    config = load_campaign(path)
    parts = build_parts(config)
    one, other = (
        w.evaluate(alone(parts, "beta"), Budget("test"))
        for w in (build_worker(parts), MakeWorker(dump_campaign(config))())
    )
    assert isinstance(one, Scored)
    assert isinstance(other, Scored)
    assert one.scores == other.scores


@pytest.mark.slow
def test_a_ray_worker_gives_the_same_scores(campaign: Callable[..., Path], tmp_path: Path) -> None:
    path = campaign(workers={"backend": "ray", "count": 1})
    parts = build_parts(load_campaign(path))
    here = build_worker(parts).evaluate(alone(parts, "beta"), Budget("search"))
    pool = build_pool(parts, tmp_path / "run")
    try:
        pool.submit(alone(parts, "beta"), Budget("search"))
        (there,) = pool.wait()
    finally:
        pool.close()
    assert isinstance(here, Scored)
    assert isinstance(there, Scored)
    np.testing.assert_allclose(here.scores.values, there.scores.values, atol=1e-6)


def test_plan_counts_every_objective(evomerge: Command, campaign: Callable[..., Path]) -> None:
    done = evomerge("plan", campaign())
    assert done.code == 0
    assert "items" in done.out


def test_a_failing_function_is_a_failed_candidate_or_one_message(
    evomerge: Command, campaign: Callable[..., Path]
) -> None:
    path = campaign()
    (path.parent / "checks.py").write_text("def letters(model, tokenizer):\n    return {'a': 1 / 0}\n")
    done = evomerge("run", path, "--run-dir", path.parent / "run")
    assert done.code == 1
    told = done.err.strip().splitlines()
    assert told[0].startswith("note: runs code: letters of ")
    assert told[1:] == ["checks.letters: the function raised ZeroDivisionError: division by zero"]


def test_eval_scores_every_kind(evomerge: Command, campaign: Callable[..., Path], family: Family) -> None:
    here = campaign().parent
    tasks = [here / "sums.jsonl:acc+margin", here / "words.jsonl:entropy", f"python:{here}/checks.py:letters"]
    rows = json.loads(evomerge("eval", family.base, "--limit", 5, "--json", "--tasks", *tasks).out)["tasks"]
    assert [row["task"] for row in rows] == ["sums:acc+margin", "words:entropy", "checks.letters"]
    assert {len(row["items"]) for row in rows} == {5}


def test_eval_without_an_expert_is_refused(evomerge: Command, campaign: Callable[..., Path], family: Family) -> None:
    done = evomerge("eval", family.base, "--tasks", campaign().parent / "sums.jsonl:js_divergence")
    assert done.code == 1
    assert "js_divergence compares with an expert" in done.err


def test_eval_asks_in_a_chat_template(
    evomerge: Command, campaign: Callable[..., Path], family: Family, tmp_path: Path
) -> None:
    from shutil import copytree

    tasks = campaign().parent / "sums.jsonl"
    model = copytree(family.base, tmp_path / "chatty")
    done = evomerge("eval", model, "--tasks", tasks, "--apply-chat-template")
    assert (done.code, "expected a tokenizer with a chat template" in done.err) == (1, True)
    tokenizer = AutoTokenizer.from_pretrained(model)
    tokenizer.chat_template = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }} {% endfor %}"
    tokenizer.save_pretrained(model)
    margin = f"{tasks}:margin"
    options = ([], ["--apply-chat-template"], ["--apply-chat-template", "--system-instruction", "be brief."])
    items = [
        json.loads(evomerge("eval", model, "--json", "--tasks", margin, *more).out)["tasks"][0]["items"]
        for more in options
    ]
    assert items[0] != items[1] != items[2] != items[0]
