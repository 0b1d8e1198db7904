from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from scipy.spatial.distance import jensenshannon
from torch import nn

from fitness.engine.language_model import Completion
from fitness.engine.trie import TrieLanguageModel
from fitness.errors import FitnessError
from fitness.estimation import Objective
from fitness.scores import Budget, ItemScores
from fitness.screening import Screening
from fitness.screening.experts import most_distinct
from fitness.tasks.sources import TaskContext, load_tasks, make_suite
from tests.fitness.conftest import arithmetic, completions, texts, write_jsonl

SHARES = {"search": 0.5, "validation": 0.2, "test": 0.3}
OBJECTIVES = (Objective("asked", ("choices", "completions"), 3.0), Objective("read", ("texts",)))


@pytest.fixture
def suite(tmp_path, tokenizer):
    for name, lines in {"choices": arithmetic(12), "completions": completions(12), "texts": texts(12)}.items():
        write_jsonl(tmp_path / f"{name}.jsonl", lines)
    sources = ["choices.jsonl", "completions.jsonl", "texts.jsonl"]
    tasks = load_tasks(sources, TaskContext(tmp_path, tokenizer=tokenizer))
    return make_suite([t for ts in tasks.values() for t in ts], tokenizer=tokenizer, shares=SHARES, seed=0)


@pytest.fixture
def models(model) -> dict[str, nn.Module]:
    """A base, a parent that is nearly the base, and one that is not."""
    return {"base": model, "near": scaled(model, 0.99), "far": scaled(model, 0.6)}


def scaled(model: nn.Module, factor: float) -> nn.Module:
    other = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.mul_(factor)
    return other


def screening(suite, *, n: int = 9, experts: dict[str, str] | None = None) -> Screening:
    return Screening(
        suite,
        OBJECTIVES,
        n_prompts=n,
        parents=["near", "far"],
        checkpoints=["base", "near", "far"],
        experts=experts or {},
    )


def test_the_expert_itself_agrees_wholly_and_others_less_the_more_they_differ(suite, models):
    screen = screening(suite)
    screen.learn(models.__getitem__)
    own, half_way, base = (
        screen.divergence(screen.evaluate(m, screen.budget))
        for m in (models["far"], scaled(models["base"], 0.8), models["base"])
    )
    assert own == pytest.approx(0.0, abs=1e-5)
    assert own < half_way < base < math.log(2)


def test_experts_are_the_parents_that_differ_unless_an_objective_names_another(suite, models):
    named = screening(suite, experts={"texts": "near", "no task of the screen": "base"})
    named.learn(models.__getitem__)
    at_distance = {}
    for name, model in models.items():
        scores = named.evaluate(model, named.budget)
        for item, value in zip(scores.item_ids, scores.values, strict=True):
            at_distance.setdefault((name, named.task_of[item]), []).append(value)
    exact = {pair for pair, values in at_distance.items() if np.abs(values).max() < 1e-6}
    assert exact == {("far", "choices"), ("far", "completions"), ("near", "texts")}


def test_a_score_is_minus_the_mean_divergence_along_what_the_expert_writes(suite, tokenizer, models):
    screen = screening(suite)
    screen.learn(models.__getitem__)
    scores = screen.evaluate(models["base"], screen.budget)
    item = next(i for i in scores.item_ids if i.startswith("screen:completions/"))
    prompt = suite.requests(item.removeprefix("screen:"))[0].prompt
    plan = TrieLanguageModel(tokenizer).plan([Completion(prompt, stop=("\n",), max_new_tokens=8)])
    (written,) = plan.answer(models["far"])
    start, ids = len(tokenizer.encode(prompt.rstrip())), tokenizer.encode(prompt + written)
    assert len(ids) > start
    with torch.no_grad():
        p, q = (
            torch.softmax(models[name](torch.tensor([ids])).logits[0, start - 1 :].double(), -1).numpy()
            for name in ("far", "base")
        )
    expected = -np.mean(jensenshannon(p, q, axis=1) ** 2)
    assert scores.values[scores.item_ids.index(item)] == pytest.approx(expected, abs=1e-3)


def test_right_answers_are_not_looked_at(tmp_path, suite, tokenizer, models):
    wrong = [{**line, "gold": (line["gold"] + 1) % 3} for line in arithmetic(12)]
    write_jsonl(tmp_path / "choices.jsonl", wrong)
    write_jsonl(
        tmp_path / "completions.jsonl", [{**line, "answer": "zzz" + line["answer"]} for line in completions(12)]
    )
    tasks = load_tasks(
        ["choices.jsonl", "completions.jsonl", "texts.jsonl"], TaskContext(tmp_path, tokenizer=tokenizer)
    )
    mislabelled = make_suite([t for ts in tasks.values() for t in ts], tokenizer=tokenizer, shares=SHARES, seed=0)
    found = []
    for each in (suite, mislabelled):
        screen = screening(each)
        screen.learn(models.__getitem__)
        found.append(screen.evaluate(models["base"], screen.budget))
    assert found[0] == found[1]


def test_models_scored_together_get_what_they_get_alone(suite, models):
    screen = screening(suite)
    screen.learn(models.__getitem__)
    together = screen.evaluate_together(list(models.values()), screen.budget)
    assert together == [screen.evaluate(model, screen.budget) for model in models.values()]


def test_a_checkpoint_is_asked_only_for_what_is_not_known(suite, models):
    asked: list[str] = []

    def become(name: str) -> nn.Module:
        asked.append(name)
        return models[name]

    named = screening(suite, experts=dict.fromkeys(("choices", "completions", "texts"), "near"))
    named.learn(become)
    named.learn(become)
    assert asked == ["near"]


def test_objectives_weigh_as_they_are_told_and_their_tasks_the_same(suite):
    screen = screening(suite)
    values = {"choices": -0.1, "completions": -0.3, "texts": -0.6}
    scores = ItemScores(screen.item_ids, np.array([values[screen.task_of[i]] for i in screen.item_ids]))
    assert screen.divergence(scores) == pytest.approx((3 * 0.2 + 0.6) / 4)
    asked = [i for i in screen.item_ids if screen.task_of[i] != "texts"]
    only = ItemScores(tuple(asked), np.array([values[screen.task_of[i]] for i in asked]))
    assert screen.divergence(only) == pytest.approx(0.2)


def test_before_the_experts_have_answered_nobody_is_scored(suite, model):
    screen = screening(suite)
    with pytest.raises(FitnessError, match="screen: expected answers of the experts before"):
        screen.evaluate(model, screen.budget)


def test_a_search_item_is_no_item_of_the_screen(suite, models):
    screen = screening(suite)
    screen.learn(models.__getitem__)
    assert not set(screen.item_ids) & set(suite.item_ids)
    with pytest.raises(FitnessError, match="budget: expected items of split 'search'"):
        screen.evaluate(models["base"], Budget("search", suite.splits.items["search"][:1]))


def test_without_any_prompt_a_screen_is_refused(tmp_path):
    (tmp_path / "sums.py").write_text("def score(model, items):\n    return {'a': 0.5}\n")
    tasks = load_tasks([f"python:{tmp_path / 'sums.py'}:score"], TaskContext(base=lambda: nn.Linear(1, 1)))
    (task,) = next(iter(tasks.values()))
    suite = make_suite([task], tokenizer=None, shares={"search": 1.0}, seed=0)
    with pytest.raises(FitnessError, match="schedule: expected search items with prompts for a screen"):
        Screening(
            suite,
            (Objective("o", (task.name,)),),
            n_prompts=4,
            parents=["a"],
            checkpoints=["a"],
            experts={},
        )


def logs(*rows: list[float]) -> np.ndarray:
    return np.log(np.array(rows, dtype=np.float32))


def test_the_most_distinct_parent_is_neither_the_base_nor_one_like_it():
    said = {"base": logs([0.5, 0.5]), "a": logs([0.5, 0.5]), "b": logs([0.9, 0.1]), "c": logs([0.55, 0.45])}
    assert most_distinct(said, ["a", "b", "c"]) == "b"
    assert most_distinct({"base": logs([0.9, 0.1]), "a": logs([0.5, 0.5]), "b": logs([0.5, 0.5])}, ["a", "b"]) == "a"


def test_of_two_that_differ_equally_the_surest_is_taken_and_one_alone_is_always_taken():
    said = {"unsure": logs([0.6, 0.4]), "sure": logs([0.01, 0.99])}
    assert most_distinct(said, ["unsure", "sure"]) == "sure"
    assert most_distinct({"alone": logs([0.6, 0.4])}, ["alone"]) == "alone"
