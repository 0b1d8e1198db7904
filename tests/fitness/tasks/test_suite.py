from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from transformers import LlamaForCausalLM

from evomerge.testing.fitness_contract import FitnessContract
from fitness.engine.model.tokenizer import load_tokenizer
from fitness.engine.trie import TrieLanguageModel
from fitness.errors import FitnessError
from fitness.estimation import MeanEstimator, Objective
from fitness.scores import Budget, ItemScores
from fitness.splits import Splits
from fitness.tasks.contents import contents_of
from fitness.tasks.items import MultipleChoice, Task
from fitness.tasks.python_callable import PythonTask
from fitness.tasks.sources import TaskContext, load_tasks, make_suite
from fitness.tasks.suite import TaskSuite, evaluate_tasks
from tests.fitness.conftest import arithmetic, completions, texts, write_jsonl
from tests.fitness.engine.paths import along, make_bank

SHARES = {"search": 0.5, "validation": 0.2, "test": 0.3}
SOURCES = ["choices.jsonl", "completions.jsonl", "texts.jsonl"]


@pytest.fixture(scope="module")
def tasks_dir(tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("tasks")
    for name, lines in zip(SOURCES, (arithmetic(20), completions(11), texts(10)), strict=True):
        write_jsonl(directory / name, lines)
    return directory


def suite(tasks_dir, family, **options) -> TaskSuite:
    tasks = [task for group in load_tasks(SOURCES, TaskContext(tasks_dir)).values() for task in group]
    return make_suite(tasks, tokenizer=load_tokenizer(family.base), shares=SHARES, seed=3, **options)


class TestTaskSuite(FitnessContract):
    @pytest.fixture
    def fitness(self, tasks_dir, family) -> TaskSuite:
        return suite(tasks_dir, family)

    @pytest.fixture
    def other_batches(self, tasks_dir, family) -> TaskSuite:
        return suite(tasks_dir, family, memory=2**20)

    @pytest.fixture
    def model(self, model: nn.Module) -> nn.Module:
        return model


def test_scores_are_those_of_each_item_alone(tasks_dir, family, model, tokenizer):
    scores = suite(tasks_dir, family).evaluate(model, Budget("search"))
    tasks = {task.name: task for group in load_tasks(SOURCES, TaskContext(tasks_dir)).values() for task in group}
    for item, value in zip(scores.item_ids, scores.values, strict=True):
        name, _, local_id = item.partition("/")
        answers = TrieLanguageModel(tokenizer).plan(tasks[name].requests(local_id)).answer(model)
        assert value == pytest.approx(tasks[name].score(local_id, answers), abs=1e-4)
    assert len(set(scores.values)) > 5


def test_models_scored_together_have_the_scores_of_each_alone(tasks_dir, family):
    bank = make_bank()
    paths = [[(0, 1.0), (1, 1.0), (2, 1.0)], [(0, 1.0), (1, 1.0)], [(0, 1.0), (1, 1.0), (0, 0.5)], [(2, 1.0)]]
    models = [along(bank, path) for path in paths]
    for budget in (
        Budget("search"),
        Budget("test"),
        Budget("search", suite(tasks_dir, family).splits.items["search"][:3]),
    ):
        alone, together = suite(tasks_dir, family), suite(tasks_dir, family)
        assert together.evaluate_together(models, budget) == [alone.evaluate(model, budget) for model in models]


def test_of_models_scored_together_one_fails_alone(tasks_dir, family):
    def vain(model: nn.Module, _: object) -> dict[str, float]:
        if len(model.model.layers) == 2:
            raise ValueError("I do not like it")
        return {"depth": float(len(model.model.layers))}

    vain.item_ids = ("depth",)
    bank = make_bank()
    models = [along(bank, [(0, 1.0)] * depth) for depth in (1, 2, 3)]
    models[2].model.layers[2].layer_key = "not finite"
    weight = models[2].model.layers[2].mlp.up_proj.weight
    models[2].model.layers[2].mlp.up_proj.weight = nn.Parameter(torch.full_like(weight, torch.inf))
    tasks = [task for group in load_tasks(SOURCES, TaskContext(tasks_dir)).values() for task in group]
    tasks.append(PythonTask("vain", vain, tokenizer=None, base=None))
    fitness = make_suite(tasks, tokenizer=load_tokenizer(family.base), shares={"search": 1.0}, seed=3)
    scored, disliked, not_finite = fitness.evaluate_together(models, Budget("search"))
    assert scored == fitness.evaluate(models[0], Budget("search"))
    assert isinstance(disliked, FitnessError)
    assert "I do not like it" in str(disliked)
    assert isinstance(not_finite, FitnessError)
    assert "not finite" in str(not_finite)


def test_models_of_any_kind_are_scored_together_where_no_task_asks_a_language_model():
    def size(model: nn.Module, _: object) -> dict[str, float]:
        return {"size": float(model.weight.numel())}

    size.item_ids = ("size",)
    tasks = [PythonTask("size", size, tokenizer=None, base=None)]
    fitness = make_suite(tasks, tokenizer=None, shares={"search": 1.0}, seed=0)
    scores = fitness.evaluate_together([nn.Linear(1, 2), nn.Linear(3, 3)], Budget("search"))
    assert [each.values.tolist() for each in scores if isinstance(each, ItemScores)] == [[2.0], [9.0]]


def test_a_suite_feeds_an_estimator(tasks_dir, family, model):
    fitness = suite(tasks_dir, family)
    objectives = [Objective("all", ("choices", "completions")), Objective("prose", ("texts",))]
    estimator = MeanEstimator(objectives, task_of=fitness.task_of, splits=fitness.splits)
    scores = fitness.evaluate(model, Budget("test"))
    estimate = estimator.estimate(scores)
    means = {
        name: np.mean([v for item, v in zip(scores.item_ids, scores.values, strict=True) if item.startswith(name)])
        for name in ("choices", "completions", "texts")
    }
    assert estimate.split == "test"
    assert [o.value for o in estimate.objectives] == pytest.approx(
        [(means["choices"] + means["completions"]) / 2, means["texts"]]
    )


def test_a_trained_model_gets_what_it_knows_right(tokenizer):
    model = next_letter_model(tokenizer)
    letters = "abcdefgh"
    knows = [MultipleChoice(c, c, (chr(ord(c) + 2), chr(ord(c) + 1)), 1, "") for c in letters]
    fooled = [MultipleChoice(c, c, (chr(ord(c) + 2), chr(ord(c) + 1)), 0, "") for c in letters]
    right, wrong = evaluate_tasks(
        model,
        [Task("knows", tuple(knows)), Task("fooled", tuple(fooled))],
        language_model=TrieLanguageModel(tokenizer),
    )
    assert (right.value, wrong.value) == (1.0, 0.0)
    assert (right.task, right.metric, right.stderr) == ("knows", "acc", 0.0)


def next_letter_model(tokenizer) -> nn.Module:
    table = torch.zeros(tokenizer.n_tokens, tokenizer.n_tokens)
    alphabet = tokenizer.encode("abcdefghijk")
    table[alphabet[:-1], alphabet[1:]] = 5.0
    return nn.Embedding.from_pretrained(table)


def test_evaluating_reports_mean_standard_error_seconds_and_items(tasks_dir, model, tokenizer):
    tasks = load_tasks(SOURCES, TaskContext(tasks_dir))
    results = evaluate_tasks(
        model, [task for group in tasks.values() for task in group], language_model=TrieLanguageModel(tokenizer)
    )
    assert [(r.task, r.metric) for r in results] == [
        ("choices", "acc"), ("completions", "exact_match"), ("texts", "-bits_per_byte"),
    ]  # fmt: skip
    for result, n in zip(results, (20, 11, 10), strict=True):
        values = result.scores.values
        (task,) = tasks[f"{result.task}.jsonl"]
        assert len(task.item_ids) == n
        assert result.scores.item_ids == tuple(f"{result.task}/{item}" for item in task.item_ids)
        assert result.value == pytest.approx(values.mean())
        assert result.stderr == pytest.approx(values.std(ddof=1) / n**0.5)
        assert result.seconds > 0


def test_one_item_has_no_standard_error(model, tokenizer):
    task = Task("one", (MultipleChoice("1", "a", ("b", "c"), 0),))
    (result,) = evaluate_tasks(model, [task], language_model=TrieLanguageModel(tokenizer))
    assert result.stderr is None


def test_two_tasks_of_one_name_are_refused(tasks_dir, tmp_path):
    other = write_jsonl(tmp_path / "texts.jsonl", texts(3))
    with pytest.raises(FitnessError, match=r"unique names, found 'texts' in 'texts\.jsonl' and in"):
        load_tasks(["texts.jsonl", str(other)], TaskContext(tasks_dir))


def test_a_source_named_twice_is_loaded_once(tasks_dir):
    assert list(load_tasks(["texts.jsonl"] * 2, TaskContext(tasks_dir))) == ["texts.jsonl"]


def test_all_broken_sources_are_reported_at_once(tmp_path):
    write_jsonl(tmp_path / "empty.jsonl", [])
    with pytest.raises(FitnessError) as error:
        load_tasks(["empty.jsonl", "none.jsonl"], TaskContext(tmp_path))
    assert "empty.jsonl: expected at least one item" in str(error.value)
    assert "none.jsonl: expected a readable task file" in str(error.value)


def test_splits_of_other_tasks_are_refused(tokenizer):
    task = Task("one", (MultipleChoice("1", "a", ("b", "c"), 0),))
    with pytest.raises(FitnessError, match="expected items of the tasks, found 'one/2'"):
        TaskSuite([task], splits=Splits({"search": ("one/1", "one/2")}), language_model=TrieLanguageModel(tokenizer))


def test_text_is_tokenised_once_before_the_first_evaluation(tasks_dir, family, model, monkeypatch):
    fitness = suite(tasks_dir, family)
    monkeypatch.setattr("fitness.engine.model.tokenizer.Tokenizer.encode", lambda *_: pytest.fail("tokenised again"))
    assert len(fitness.evaluate(model, Budget("search")).values) == len(fitness.splits.items["search"]) > 10


def test_a_second_process_reads_token_ids_from_a_file_and_every_selection_of_items_from_it(
    family, tmp_path, monkeypatch
):
    header = "a header of this task. " * 4
    lines = [{"id": str(i), "question": f"{header}{i}?", "choices": list("abcd"), "answer": i % 4} for i in range(1000)]
    write_jsonl(tmp_path / "many.jsonl", lines)

    def made() -> TaskSuite:
        tasks = load_tasks(["many.jsonl"], TaskContext(tmp_path))["many.jsonl"]
        tokenizer = load_tokenizer(family.base)
        return make_suite(tasks, tokenizer=tokenizer, shares={"search": 1.0}, seed=1, tokens=tmp_path / "tokens")

    first = made()
    assert len(list((tmp_path / "tokens").iterdir())) == 1
    for name in ("model.tokenizer.Tokenizer.encode", "tokens.read_texts.ReadTexts.read"):
        monkeypatch.setattr(f"fitness.engine.{name}", lambda *_: pytest.fail("tokenised again"))
    second = made()
    block = Budget("search", first.splits.items["search"][40:52])
    model = LlamaForCausalLM.from_pretrained(family.base)
    assert (second.evaluate(model, block).values == first.evaluate(model, block).values).all()


def test_an_item_that_the_model_cannot_take_is_named_before_any_model_is_needed(family, tmp_path):
    write_jsonl(tmp_path / "long.jsonl", [*completions(5), {"id": "huge", "prompt": "a", "answer": "b" * 200}])
    tasks = load_tasks(["long.jsonl"], TaskContext(tmp_path))["long.jsonl"]
    with pytest.raises(FitnessError, match="item 'long/huge': max_new_tokens: expected between 1 and 127"):
        make_suite(tasks, tokenizer=load_tokenizer(family.base), shares={"search": 0.5, "test": 0.5}, seed=0)


def said_by(directory: Path, lines: list[dict[str, object]], metric: str = "") -> dict[str, str]:
    """Return what the suite says of the items of a file with these lines."""
    write_jsonl(directory / "choices.jsonl", lines)
    expert = {"choices.jsonl:js_divergence": "alpha"}
    loaded = load_tasks([f"choices.jsonl{metric}"], TaskContext(directory, experts=expert))
    [task] = loaded[f"choices.jsonl{metric}"]
    splits = Splits.draw({task.name: contents_of(task)}, shares=SHARES, seed=0)
    [digests] = TaskSuite([task], splits=splits, language_model=NoEngine()).item_digests().values()
    return digests


class NoEngine:
    """Is never asked."""

    def plan(self, requests: object) -> object:
        raise AssertionError(requests)


@pytest.mark.parametrize(
    "change",
    [
        {"question": "other"},
        {"choices": [" 1", " 2", " 3"]},
        {"gold": 1},
        {"delimiter": ""},
    ],
)
def test_whatever_an_item_says_is_in_its_digest_and_in_no_others(tmp_path: Path, change: dict[str, object]) -> None:
    lines = [
        {"id": str(i), "question": f"{i} + 1 =", "choices": [f" {i}", f" {i + 1}"], "gold": 0, "delimiter": " "}
        for i in range(20)
    ]
    before = said_by(tmp_path, lines)
    assert said_by(tmp_path, lines[::-1]) == before
    after = said_by(tmp_path, [*lines[:4], {**lines[4], **change}, *lines[5:]])
    assert {item for item in before if before[item] != after[item]} == {"4"}


@pytest.mark.parametrize(("metric", "counts"), [("", True), (":js_divergence", False)])
def test_a_right_answer_counts_where_it_is_scored(tmp_path: Path, metric: str, counts: bool) -> None:
    lines = completions(20)
    before = said_by(tmp_path, lines, metric)
    after = said_by(tmp_path, [{**line, "answer": f"no {i}"} for i, line in enumerate(lines)], metric)
    assert before.keys() == after.keys()
    assert (before != after) == counts


def test_of_a_function_only_the_ids_of_its_items_are_known() -> None:
    def function(model: object, tokenizer: object) -> dict[str, float]:
        return {}

    function.item_ids = ["a", "b", "c"]  # type: ignore[attr-defined]
    task = PythonTask("mine", function, tokenizer=None, base=None)
    splits = Splits.draw({"mine": contents_of(task)}, shares=SHARES, seed=0)
    suite = TaskSuite([task], splits=splits, language_model=None)
    assert suite.item_digests() == {"mine": {"a": "", "b": "", "c": ""}}
    assert suite.code_digests() == {}
