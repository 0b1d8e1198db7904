from __future__ import annotations

import pytest

from fitness.engine.language_model import Completion, NextTokens
from fitness.engine.model.tokenizer import load_tokenizer
from fitness.estimation import Objective
from fitness.screening.screening import ANSWER_TOKENS, draw_prompts
from fitness.tasks.sources import TaskContext, load_tasks, make_suite
from fitness.tasks.suite import TaskSuite
from tests.fitness.conftest import arithmetic, completions, texts, write_jsonl

SHARES = {"search": 0.5, "validation": 0.2, "test": 0.3}
OBJECTIVES = (Objective("asked", ("choices", "completions")), Objective("read", ("texts",)))


@pytest.fixture
def suite(tmp_path, family) -> TaskSuite:
    for name, lines in {"choices": arithmetic(20), "completions": completions(8), "texts": texts(10)}.items():
        write_jsonl(tmp_path / f"{name}.jsonl", lines)
    tokenizer = load_tokenizer(family.base)
    sources = ["choices.jsonl", "completions.jsonl", "texts.jsonl"]
    tasks = load_tasks(sources, TaskContext(tmp_path, tokenizer=tokenizer))
    return make_suite([t for ts in tasks.values() for t in ts], tokenizer=tokenizer, shares=SHARES, seed=0)


def test_only_search_items_are_drawn_however_many_are_wanted(suite):
    drawn = draw_prompts(suite, OBJECTIVES, 1000)
    assert sorted(drawn) == sorted(suite.splits.items["search"])


def test_objectives_take_turns_and_within_one_its_tasks(suite):
    drawn = list(draw_prompts(suite, OBJECTIVES, 8))
    tasks = [item.split("/")[0] for item in drawn]
    assert tasks == ["choices", "texts", "completions", "texts", "choices", "texts", "completions", "texts"]
    seeded = suite.splits.items["search"]
    for task in set(tasks):
        of_task = [item for item in seeded if item.startswith(task + "/")]
        assert [item for item in drawn if item.startswith(task + "/")] == of_task[: tasks.count(task)]


def test_an_item_of_two_objectives_is_drawn_once(suite):
    both = (*OBJECTIVES, Objective("again", ("texts",)))
    drawn = list(draw_prompts(suite, both, 1000))
    assert len(drawn) == len(set(drawn)) == len(suite.splits.items["search"])


def test_questions_are_answered_in_a_few_tokens_and_texts_are_read_in_a_few_places(suite):
    for item, prompt in draw_prompts(suite, OBJECTIVES, 1000).items():
        asked = suite.requests(item)[0]
        match item.split("/")[0]:
            case "choices":
                assert prompt == Completion(asked.context, stop=("\n",), max_new_tokens=ANSWER_TOKENS)
            case "completions":
                assert prompt == Completion(asked.prompt, stop=("\n",), max_new_tokens=ANSWER_TOKENS)
            case _:
                assert prompt == NextTokens(asked.text, ANSWER_TOKENS)
