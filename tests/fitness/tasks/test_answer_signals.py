"""Signals of answers: plain transformers' log-probabilities, beside scores that they do not change."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from evomerge.testing.fitness_contract import FitnessContract
from fitness.engine.model.tokenizer import Tokenizer
from fitness.protocols import AnyTask
from fitness.reading import questions_of_tasks
from fitness.scores import Budget
from fitness.tasks.answer_signals import AnswerSignals, signals_of
from fitness.tasks.items import MultipleChoice, Task
from fitness.tasks.lm_eval_tasks import load_lm_eval_tasks
from fitness.tasks.sources import load_tasks, make_suite
from fitness.tasks.suite import TaskSuite
from fitness.tasks.task_file import load_task_file
from fitness.tasks.written_answer import WrittenAnswer
from tests.fitness.conftest import arithmetic, completions, write_jsonl
from tests.fitness.tasks.test_lm_eval_tasks import CHOICE, MEAN, write_task

SHARES = {"search": 0.5, "validation": 0.2, "test": 0.3}


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> list[Task]:
    """Questions with choices, by two metrics, and prompts whose answers are written."""
    folder = tmp_path_factory.mktemp("tasks")
    sums = load_task_file(write_jsonl(folder / "sums.jsonl", arithmetic(24))).items
    written = load_task_file(write_jsonl(folder / "written.jsonl", completions(24))).items
    return [Task("sums", sums), Task("sums:acc_norm", sums, "acc_norm"), Task("written", written)]


def with_signals(tasks: list[Task]) -> list[AnyTask]:
    signals = [signals_of(task) for task in tasks]
    return [*tasks, *(one for one in signals if one is not None)]


@pytest.fixture(scope="module")
def suite(tasks: list[Task], tokenizer: Tokenizer) -> TaskSuite:
    return make_suite(with_signals(tasks), tokenizer=tokenizer, shares=SHARES, seed=1)


class TestAnswerSignals(FitnessContract):
    @pytest.fixture
    def fitness(self, suite: TaskSuite) -> TaskSuite:
        return suite

    @pytest.fixture
    def other_batches(self, tasks: list[Task], tokenizer: Tokenizer) -> TaskSuite:
        return make_suite(with_signals(tasks), tokenizer=tokenizer, shares=SHARES, seed=1, memory=2**20)

    @pytest.fixture
    def model(self, model: torch.nn.Module) -> torch.nn.Module:
        return model


def log_likelihood(model: torch.nn.Module, tokenizer: Tokenizer, prompt: str, text: str) -> float:
    """Return a continuation's log-likelihood, token by token, by one plain forward pass."""
    before, ids = tokenizer.encode(prompt), tokenizer.encode(prompt + text)
    with torch.no_grad():
        log_p = model(torch.tensor([ids])).logits[0].double().log_softmax(-1)
    return sum(float(log_p[k - 1, ids[k]]) for k in range(len(before), len(ids)))


def test_signals_are_margins_and_log_likelihoods_of_a_plain_forward_pass(
    suite: TaskSuite, tasks: list[Task], model: torch.nn.Module, tokenizer: Tokenizer
) -> None:
    found = suite.evaluate(model, Budget("search"))
    values = dict(zip(found.item_ids, found.values.tolist(), strict=True))
    choices = {line["question"]: line for line in arithmetic(24)}
    for item in suite.questions(found.item_ids):
        task, _, local = item.rpartition("/")
        signal = values[f"{task}:signal/{local}"]
        if task == "written":
            written = tasks[2].item(local)
            assert isinstance(written, WrittenAnswer)
            expected = log_likelihood(model, tokenizer, written.prompt.rstrip(), f" {written.answer}")
            assert signal == pytest.approx(expected, abs=1e-3)
            continue
        asked = tasks[0].item(local)
        assert isinstance(asked, MultipleChoice)
        question = asked.question
        line = choices[question]
        per = [len(c) if task == "sums:acc_norm" else 1 for c in line["choices"]]
        p = [log_likelihood(model, tokenizer, question, f" {c}") / n for c, n in zip(line["choices"], per, strict=True)]
        assert signal == pytest.approx(p[line["gold"]] - max(x for i, x in enumerate(p) if i != line["gold"]), abs=1e-3)
        if signal:
            assert (signal > 0.0) == (values[item] == 1.0)


def test_scores_and_splits_are_the_same_bit_by_bit_without_signals(
    suite: TaskSuite, tasks: list[Task], model: torch.nn.Module, tokenizer: Tokenizer
) -> None:
    plain = make_suite(tasks, tokenizer=tokenizer, shares=SHARES, seed=1)
    assert suite.splits.items["test"] == plain.splits.items["test"]
    assert suite.splits.items["validation"] == plain.splits.items["validation"]
    items = plain.splits.items["search"]
    assert suite.questions(suite.splits.items["search"]) == items
    assert suite.with_costs(items) == suite.splits.items["search"]
    assert suite.group_of == plain.group_of
    assert questions_of_tasks(suite, 4, {}) == questions_of_tasks(plain, 4, {})
    found = suite.evaluate(model, Budget("search"))
    values = dict(zip(found.item_ids, found.values.tolist(), strict=True))
    assert [values[item] for item in items] == plain.evaluate(model, Budget("search")).values.tolist()


def test_margins_of_choices_ask_for_nothing_more(suite: TaskSuite, tasks: list[Task]) -> None:
    for item in suite.questions(suite.splits.items["search"]):
        task, _, local = item.rpartition("/")
        if task != "written":
            assert suite.requests(f"{task}:signal/{local}") == suite.requests(item)


@pytest.mark.parametrize("metric", ["acc", "acc_norm"])
def test_lm_evals_choices_have_the_margins_that_their_metric_is_the_sign_of(
    metric: str, model: torch.nn.Module, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    listed = {"metric_list": [{"metric": "acc", **MEAN}, {"metric": "acc_norm", **MEAN}]}
    (task,) = load_lm_eval_tasks(write_task(tmp_path, **{**CHOICE, **listed}), metric=metric)
    signals = signals_of(task)
    assert isinstance(signals, AnswerSignals)
    assert signals.name == f"tiny:{metric}:signal"
    suite = make_suite([task, signals], tokenizer=tokenizer, shares={"search": 1.0}, seed=0)
    found = suite.evaluate(model, Budget("search"))
    values = dict(zip(found.item_ids, found.values.tolist(), strict=True))
    margins = np.array([values[f"{signals.name}/{item}"] for item in task.item_ids])
    right = np.array([values[f"{task.name}/{item}"] for item in task.item_ids])
    assert ((margins > 0.0) == (right == 1.0))[margins != 0.0].all()
    assert 0.0 < right.mean() < 1.0


def test_what_is_not_right_or_wrong_has_no_signals(tmp_path: Path) -> None:
    assert signals_of(load_task_file(write_jsonl(tmp_path / "texts.jsonl", [{"text": "a"}, {"text": "b"}]))) is None
    path = write_jsonl(tmp_path / "sums.jsonl", arithmetic(4))
    (entropy,) = load_tasks([f"{path}:entropy"])[f"{path}:entropy"]
    assert signals_of(entropy) is None
