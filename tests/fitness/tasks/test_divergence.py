from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from torch import nn

from evomerge.testing.fitness_contract import FitnessContract
from fitness.engine.language_model import Distributions, NextTokens
from fitness.engine.model.tokenizer import load_tokenizer
from fitness.errors import FitnessError
from fitness.scores import Budget
from fitness.tasks import divergence
from fitness.tasks.divergence import DivergenceTask, js_divergence
from fitness.tasks.items import MultipleChoice, Text
from fitness.tasks.sources import TaskContext, load_tasks, make_suite
from fitness.tasks.suite import TaskSuite
from fitness.tasks.task_file import load_task_file
from fitness.tasks.written_answer import WrittenAnswer
from tests.fitness.conftest import arithmetic, completions, texts, write_jsonl

SHARES = {"search": 0.5, "validation": 0.2, "test": 0.3}


def logs(rows: object) -> np.ndarray:
    p = np.asarray(rows, dtype=np.float64)
    with np.errstate(divide="ignore"):
        return np.log(p / p.sum(axis=-1, keepdims=True)).astype(np.float32)


def answers(rows: object) -> list[Distributions]:
    return [Distributions(logs(rows))]


@given(st.lists(st.tuples(*[st.floats(1e-6, 1.0)] * 10), min_size=1, max_size=4))
def test_it_is_scipys_divergence(rows):
    p, q = logs([row[:5] for row in rows]), logs([row[5:] for row in rows])
    expected = jensenshannon(np.exp(p.astype(np.float64)), np.exp(q.astype(np.float64)), axis=1) ** 2
    found = js_divergence(p, q)
    assert found == pytest.approx(np.nan_to_num(expected), abs=1e-6)
    assert found == pytest.approx(js_divergence(q, p), abs=1e-7)
    assert ((found >= 0.0) & (found <= math.log(2) + 1e-6)).all()


def test_distributions_without_common_tokens_are_log_2_apart():
    task = DivergenceTask("t", {"1": [NextTokens("a")]}, expert="e")
    task.learn("1", answers([[1.0, 0.0, 0.0]]))
    assert task.score("1", answers([[0.0, 0.5, 0.5]])) == pytest.approx(-math.log(2), abs=1e-4)


def test_a_score_is_the_mean_over_all_positions_of_all_prompts():
    task = DivergenceTask("t", {"1": [NextTokens("a"), NextTokens("b", 2)]}, expert="e")
    uniform, sure = [0.5, 0.5], [1.0, 0.0]
    task.learn("1", [*answers([sure]), *answers([uniform, uniform])])
    score = task.score("1", [*answers([uniform]), *answers([uniform, sure])])
    assert score == pytest.approx(-2 / 3 * jensenshannon(uniform, sure) ** 2, abs=1e-4)


def test_a_candidate_cannot_be_scored_before_the_expert():
    task = DivergenceTask("t", {"1": [NextTokens("a")]}, expert="e")
    with pytest.raises(FitnessError, match="item 't/1': expected answers of 'e' before"):
        task.score("1", answers([[0.5, 0.5]]))


def test_an_expert_without_probabilities_is_refused():
    task = DivergenceTask("t", {"1": [NextTokens("a")]}, expert="e")
    with pytest.raises(FitnessError, match="expert 'e': expected finite probabilities"):
        task.learn("1", [Distributions(np.array([[np.nan, 0.0]], dtype=np.float32))])


def test_an_empty_prompt_is_refused():
    with pytest.raises(FitnessError, match="item 't/2': expected a prompt"):
        DivergenceTask("t", {"1": [NextTokens("a")], "2": [NextTokens("")]}, expert="e")


def test_every_kind_of_item_is_compared_where_the_model_answers():
    assert MultipleChoice("1", "Which?  ", ("a", "b"), 0).compared() == NextTokens("Which?")
    assert WrittenAnswer("1", "2 + 2 = ", "4").compared() == NextTokens("2 + 2 = ")
    assert Text("1", "a text").compared() == NextTokens("a text", 32)


@pytest.fixture
def suite(tmp_path, family):
    sources = []
    for name, lines in {"choices": arithmetic(10), "completions": completions(10), "texts": texts(10)}.items():
        write_jsonl(tmp_path / f"{name}.jsonl", lines)
        sources += [f"{name}.jsonl:js_divergence", f"{name}.jsonl"]
    experts = {source: source.split(".")[0] + "_expert" for source in sources[::2]}
    tokenizer = load_tokenizer(family.base)
    tasks = load_tasks(sources, TaskContext(tmp_path, tokenizer=tokenizer, experts=experts))
    return make_suite([t for ts in tasks.values() for t in ts], tokenizer=tokenizer, shares=SHARES, seed=0)


class TestDivergenceInASuite(FitnessContract):
    @pytest.fixture
    def fitness(self, suite, model: nn.Module) -> TaskSuite:
        expert = copy.deepcopy(model)
        with torch.no_grad():
            expert.model.norm.weight.mul_(0.8)
        for split in SHARES:
            learn(suite, expert, Budget(split))
        return suite

    @pytest.fixture
    def model(self, model: nn.Module) -> nn.Module:
        return model


def divergences(suite, model: nn.Module) -> dict[str, float]:
    scores = suite.evaluate(model, Budget("search"))
    return {i: v for i, v in zip(scores.item_ids, scores.values, strict=True) if "js_divergence" in i}


def learn(suite, expert: nn.Module, budget: Budget) -> None:
    for items in suite.to_learn(budget).values():
        suite.learn(expert, items)


def test_the_expert_itself_is_at_no_distance_and_others_are_farther_the_more_they_differ(suite, model):
    learn(suite, model, Budget("search"))
    near, far = copy.deepcopy(model), copy.deepcopy(model)
    for other, factor in ((near, 0.99), (far, 0.5)):
        with torch.no_grad():
            for parameter in other.parameters():
                parameter.mul_(factor)
    own, nearly, distant = (divergences(suite, m) for m in (model, near, far))
    assert len(own) == 15
    assert list(own.values()) == pytest.approx([0.0] * 15, abs=1e-6)
    assert all(-math.log(2) <= distant[item] < nearly[item] < 0.0 for item in own)


def test_a_divergence_is_that_of_the_models_own_softmax(suite, model, tokenizer, tmp_path):
    other = copy.deepcopy(model)
    with torch.no_grad():
        other.model.embed_tokens.weight.mul_(0.7)
    learn(suite, model, Budget("search"))
    found = divergences(suite, other)
    item = next(i for i in found if i.startswith("choices"))
    lines = dict(zip(load_task_file(tmp_path / "choices.jsonl").item_ids, arithmetic(10), strict=True))
    question = lines[item.split("/")[1]]["question"]
    ids = torch.tensor([tokenizer.encode(question)])
    with torch.no_grad():
        p, q = (torch.softmax(m(ids).logits[0, -1].double(), -1).numpy() for m in (model, other))
    assert found[item] == pytest.approx(-(jensenshannon(p, q) ** 2), abs=1e-4)


def test_each_expert_is_asked_once_and_only_what_is_needed(suite, model):
    to_learn = suite.to_learn(Budget("search"))
    asked = {f"{suite.task_of[item].partition(':')[0]}_expert": items for items in to_learn.values() for item in items}
    assert asked == to_learn
    compared = {item for item in suite.splits.items["search"] if ":js_divergence/" in item}
    assert {item for items in to_learn.values() for item in items} == compared
    learn(suite, model, Budget("search"))
    assert suite.to_learn(Budget("search")) == {}
    assert len(suite.to_learn(Budget("test"))) == 3


def test_two_measures_of_one_task_have_the_same_splits(suite):
    for split, items in suite.splits.items.items():
        of = [{i.split("/")[1] for i in items if i.startswith(name)} for name in ("texts/", "texts:js_divergence/")]
        assert of[0] == of[1] != set(), split


def test_too_many_distributions_are_refused_with_their_size(suite, monkeypatch, tmp_path, family):
    monkeypatch.setattr(divergence, "_MAX_BYTES", 100_000)
    write_jsonl(tmp_path / "long.jsonl", texts(20))
    tokenizer = load_tokenizer(family.base)
    context = TaskContext(tmp_path, tokenizer=tokenizer, experts={"long.jsonl:js_divergence": "e"})
    (tasks,) = load_tasks(["long.jsonl:js_divergence"], context).values()
    with pytest.raises(FitnessError, match=r"640 positions x \d+ tokens x 6 bytes"):
        make_suite(tasks, tokenizer=tokenizer, shares=SHARES, seed=0)


def test_without_an_expert_the_task_is_refused(tmp_path):
    write_jsonl(tmp_path / "a.jsonl", texts(2))
    with pytest.raises(FitnessError, match=r"a\.jsonl:js_divergence': js_divergence compares with an expert"):
        load_tasks(["a.jsonl:js_divergence"], TaskContext(tmp_path))
