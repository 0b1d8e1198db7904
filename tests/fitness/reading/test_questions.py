"""What is read, and by whom."""

from __future__ import annotations

import json

import pytest
from torch import nn

from fitness.engine.language_model import Completion, NextTokens
from fitness.engine.trie import TrieLanguageModel
from fitness.errors import FitnessError
from fitness.reading import Questions, find_owners, questions_of_file, questions_of_tasks
from fitness.reading.owners import least_surprised
from fitness.reading.questions import ANSWER_TOKENS
from fitness.tasks.sources import TaskContext, load_tasks, make_suite
from tests.fitness.conftest import arithmetic, completions, texts, write_jsonl
from tests.fitness.engine.reciting import reciting_model

SHARES = {"search": 0.5, "validation": 0.2, "test": 0.3}


@pytest.fixture
def suite(tmp_path, tokenizer):
    for name, lines in {"choices": arithmetic(20), "completions": completions(8), "texts": texts(10)}.items():
        write_jsonl(tmp_path / f"{name}.jsonl", lines)
    sources = ["choices.jsonl", "completions.jsonl", "texts.jsonl"]
    tasks = load_tasks(sources, TaskContext(tmp_path, tokenizer=tokenizer))
    return make_suite([t for ts in tasks.values() for t in ts], tokenizer=tokenizer, shares=SHARES, seed=0)


def test_the_first_search_items_of_each_task_are_read(suite):
    questions = questions_of_tasks(suite, 4, {"choices": "alpha", "no such task": "beta"})
    assert {task: len(prompts) for task, prompts in questions.prompts.items()} == {
        "choices": 4,
        "completions": 4,
        "texts": 4,
    }
    seeded = [item for item in suite.splits.items["search"] if suite.task_of[item] == "choices"]
    expected = [suite.requests(item)[0].context for item in seeded[:4]]
    assert [prompt.prompt for prompt in questions.prompts["choices"]] == expected
    assert questions.owners == {"choices": "alpha"}


def test_a_parent_reads_its_own_tasks_and_one_without_a_task_reads_all(suite):
    questions = questions_of_tasks(suite, 2, {})
    owners = {"choices": "alpha", "completions": "alpha", "texts": "beta"}
    assert questions.of("alpha", owners) == (*questions.prompts["choices"], *questions.prompts["completions"])
    assert questions.of("beta", owners) == questions.prompts["texts"]
    assert len(questions.of("gamma", owners)) == 6


def test_a_file_is_read_by_everyone_prompts_are_continued_and_texts_taken_as_they_are(tmp_path):
    lines = [{"prompt": "one", "answer": "not looked at"}, {"text": "two"}, {"prompt": "three"}]
    questions = questions_of_file(write_jsonl(tmp_path / "own.jsonl", lines), 2)
    expected = (Completion("one", max_new_tokens=ANSWER_TOKENS), NextTokens("two"))
    assert questions == Questions({"own": expected}, shared=True)
    assert questions.of("alpha", {}) == expected


def test_every_wrong_line_of_a_file_is_named(tmp_path):
    path = tmp_path / "own.jsonl"
    path.write_text(json.dumps({"text": "fine"}) + "\nno JSON\n" + json.dumps({"prompt": " "}) + "\n")
    with pytest.raises(FitnessError, match=r"own.jsonl:2: expected .*\n.*own.jsonl:3: expected"):
        questions_of_file(path, 64)
    path.write_text("\n")
    with pytest.raises(FitnessError, match="expected at least one prompt or text, found none"):
        questions_of_file(path, 64)


def test_python_tasks_alone_give_nothing_to_read(tmp_path):
    (tmp_path / "sums.py").write_text("def score(model, items):\n    return {'a': 0.5}\n")
    tasks = load_tasks([f"python:{tmp_path / 'sums.py'}:score"], TaskContext(base=lambda: nn.Linear(1, 1)))
    (task,) = next(iter(tasks.values()))
    suite = make_suite([task], tokenizer=None, shares={"search": 1.0}, seed=0)
    with pytest.raises(FitnessError, match="statistics: expected search items with prompts, found none"):
        questions_of_tasks(suite, 64, {})


def reciter(tokenizer, letters: str, sharpness: float) -> nn.Module:
    model = reciting_model(tokenizer.encode(letters), tokenizer.n_tokens, end_id=tokenizer.pretrained.eos_token_id)
    model.lm_head.weight.data.mul_(sharpness)
    return model


def test_a_task_belongs_to_the_parent_that_is_least_surprised_by_its_own_answers(tokenizer):
    engine = TrieLanguageModel(tokenizer)
    models = {
        "early": reciter(tokenizer, "abcdef", 1.0),
        "late": reciter(tokenizer, "uvwxyz", 1.0),
        "unsure": reciter(tokenizer, "abcdef", 0.3),
    }
    prompts = {
        "first": tuple(Completion(letter, max_new_tokens=3) for letter in "abc"),
        "last": tuple(Completion(letter, max_new_tokens=3) for letter in "uvw"),
        "read": (NextTokens("vwxyz"), NextTokens("uvw")),
    }
    find = lambda parents, **said: find_owners(Questions(prompts, said), parents, engine, models.__getitem__)  # noqa: E731
    assert find(["unsure", "early", "late"]) == {"first": "early", "last": "late", "read": "late"}
    assert find(["unsure", "late"], read="unsure") == {"first": "unsure", "last": "late", "read": "unsure"}
    assert find_owners(Questions(prompts, shared=True), list(models), engine, models.__getitem__) == {}


def test_only_what_was_not_said_is_measured(tokenizer):
    questions = Questions({"first": (NextTokens("abc"),)}, {"first": "early"})
    assert find_owners(questions, ["early", "late"], TrieLanguageModel(tokenizer), {}.__getitem__) == {"first": "early"}


def test_who_is_sure_of_everything_owns_what_it_is_surest_of() -> None:
    # Measured on SmolLM2's experts, 8 prompts a task: the second answers whatever is asked with one letter.
    measured = {
        "continents": {"continents": 0.1497, "letters": 0.9581, "arithmetic": 1.2034},
        "letters": {"continents": 0.0893, "letters": 0.001, "arithmetic": 0.4762},
        "arithmetic": {"continents": 1.4806, "letters": 1.0828, "arithmetic": 0.2594},
    }
    assert least_surprised(measured, list(measured)) == {task: task for task in measured}


def test_who_knows_all_tasks_owns_them_before_one_who_knows_none() -> None:
    measured = {"neither": {"a": 0.8, "b": 1.2}, "both": {"a": 0.05, "b": 0.05}}
    assert least_surprised(measured, ["a", "b"]) == {"a": "both", "b": "both"}
