"""Costs in generated tokens: the same items as their task's, beside them in every split, and scored by length."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from evomerge.testing.fitness_contract import FitnessContract
from fitness.engine.model.tokenizer import Tokenizer
from fitness.errors import FitnessError
from fitness.scores import SPLITS, Budget
from fitness.tasks.generated_tokens import GeneratedTokens, generates
from fitness.tasks.items import Task
from fitness.tasks.sources import make_suite
from fitness.tasks.suite import TaskSuite
from fitness.tasks.task_file import load_task_file
from tests.fitness.conftest import arithmetic, completions, write_jsonl

SHARES = {"search": 0.5, "validation": 0.2, "test": 0.3}


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Task:
    """A task that generates, with two items on one passage."""
    lines = completions(24)
    lines[3]["group"] = lines[4]["group"] = "one passage"
    read = load_task_file(write_jsonl(tmp_path_factory.mktemp("tasks") / "answers.jsonl", lines))
    return Task("answers", read.items, asks=read.asks, group_of=read.group_of)


@pytest.fixture(scope="module")
def measured(answers: Task, tokenizer: Tokenizer) -> TaskSuite:
    return make_suite([answers, GeneratedTokens(answers)], tokenizer=tokenizer, shares=SHARES, seed=1)


class TestGeneratedTokens(FitnessContract):
    @pytest.fixture
    def fitness(self, measured: TaskSuite) -> TaskSuite:
        return measured

    @pytest.fixture
    def other_batches(self, answers: Task, tokenizer: Tokenizer) -> TaskSuite:
        tasks = [answers, GeneratedTokens(answers)]
        return make_suite(tasks, tokenizer=tokenizer, shares=SHARES, seed=1, memory=2**20)

    @pytest.fixture
    def model(self, model: torch.nn.Module) -> torch.nn.Module:
        return model


def test_an_items_cost_stands_beside_it_in_its_split(measured: TaskSuite) -> None:
    for split in SPLITS[:3]:
        items = measured.splits.items[split]
        assert items[1::2] == tuple(item.replace("answers/", "answers:tokens/") for item in items[::2])
        assert measured.questions(items) == items[::2]
        assert measured.with_costs(items[::2]) == items


def test_a_score_is_minus_the_number_of_tokens_that_generate_writes(
    measured: TaskSuite, answers: Task, model: torch.nn.Module, tokenizer: Tokenizer
) -> None:
    scores = measured.evaluate(model, Budget("search"))
    found = dict(zip(scores.item_ids, scores.values.tolist(), strict=True))
    newline = tokenizer.encode("\n")[-1]
    for item, score in found.items():
        if item.startswith("answers:tokens/"):
            (asked,) = answers.requests(item.partition("/")[2])
            ids = torch.tensor([tokenizer.encode(asked.prompt)])
            written = model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=asked.max_new_tokens,
                do_sample=False,
                eos_token_id=[*tokenizer.end_ids, newline],
                pad_token_id=0,
            )
            assert score == -(written.shape[1] - ids.shape[1])
    assert np.array(list(found.values())).min() <= -1.0


def test_a_task_whose_choices_are_scored_generates_nothing(tmp_path: Path, answers: Task) -> None:
    choices = Task("choices", load_task_file(write_jsonl(tmp_path / "choices.jsonl", arithmetic(3))).items)
    assert generates(answers)
    assert not generates(choices)
    assert GeneratedTokens(choices).requests(choices.item_ids[0]) == []


def test_what_is_measured_is_known_beside_what_an_item_says(measured: TaskSuite) -> None:
    digests = measured.item_digests()
    assert digests["answers"].keys() == digests["answers:tokens"].keys()
    assert not set(digests["answers"].values()) & set(digests["answers:tokens"].values())
    with pytest.raises(FitnessError, match="expected items of split 'search'"):
        measured.evaluate(torch.nn.Identity(), Budget("search", measured.splits.items["test"]))
