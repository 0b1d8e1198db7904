"""A suite of three kinds of tasks, and checkpoints that differ."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from torch import nn

from fitness.estimation import Objective
from fitness.screening.experts import Experts
from fitness.tasks.sources import TaskContext, load_tasks, make_suite
from fitness.tasks.suite import TaskSuite
from fitness.teaching import Lessons, Teaching
from tests.fitness.conftest import arithmetic, completions, texts, write_jsonl
from tests.fitness.screening.test_screening import scaled

OBJECTIVES = (Objective("asked", ("choices", "completions")), Objective("read", ("texts",)))
SHARES = {"search": 0.5, "validation": 0.2, "test": 0.3}

MakeLessons = Callable[..., Lessons]


def make_tasks(folder: Path, tokenizer, *, wrong: bool = False) -> TaskSuite:
    lines = {"choices": arithmetic(16), "completions": completions(16), "texts": texts(8)}
    if wrong:
        lines["choices"] = [{**line, "gold": (line["gold"] + 1) % 3} for line in lines["choices"]]
        lines["completions"] = [{**line, "answer": "zzz" + line["answer"]} for line in lines["completions"]]
    for name, own in lines.items():
        write_jsonl(folder / f"{name}.jsonl", own)
    tasks = load_tasks([f"{name}.jsonl" for name in lines], TaskContext(folder, tokenizer=tokenizer))
    return make_suite([t for ts in tasks.values() for t in ts], tokenizer=tokenizer, shares=SHARES, seed=0)


@pytest.fixture
def suite(tmp_path, tokenizer) -> TaskSuite:
    return make_tasks(tmp_path, tokenizer)


@pytest.fixture
def models(model) -> dict[str, nn.Module]:
    """A base, a parent that is nearly the base, and one that is not."""
    return {"base": model, "near": scaled(model, 0.99), "far": scaled(model, 0.6)}


@pytest.fixture
def learnt(suite, tokenizer, models) -> MakeLessons:
    """Make lessons of the suite, or of another, and let the models teach."""

    def make(loss: str, *, of: TaskSuite = suite, named: dict[str, str] | None = None, **options) -> Lessons:
        experts = Experts(of.language_model, ["near", "far"], ["base", "near", "far"], named or {})
        lessons = Lessons(
            of, OBJECTIVES, tokenizer=tokenizer, experts=experts, teaching=Teaching(loss, **{"items": 5, **options})
        )
        lessons.learn(models.__getitem__)
        return lessons

    return make
