"""A worker with real models: candidates that share layers, merged and scored together."""

from __future__ import annotations

import pytest

from evomerge.candidate import Candidate, Failure, Scored
from evomerge.workers.worker import Worker
from fitness.engine.model.tokenizer import load_tokenizer
from fitness.engine.trie import TrieLanguageModel
from fitness.scores import Budget
from fitness.tasks.items import MultipleChoice, Task
from fitness.tasks.sources import make_suite
from fitness.tasks.suite import TaskSuite
from search_spaces.layers.architecture import build_module
from search_spaces.live.layer_surgery import FlowResident
from search_spaces.parents.parents import Parents
from search_spaces.recipes.recipe import ParentSource, Recipe
from search_spaces.recipes.rule import Input, Rule, Where
from tests.conftest import Family

PATHS = [
    [("base", 0), ("alpha", 1)],
    [("base", 0), ("alpha", 1), ("beta", 0)],
    [("base", 0), ("base", 1)],
    [("base", 0), ("alpha", 1)],
    [("alpha", 0), ("base", 1)],
]


@pytest.fixture
def sources(family: Family) -> dict[str, ParentSource]:
    return {name: ParentSource(str(directory)) for name, directory in family.parents.items()}


def candidates(sources: dict[str, ParentSource]) -> list[Candidate]:
    found = []
    for number, path in enumerate(PATHS):
        rules = [Rule("passthrough", (Input(p),), where=Where(layers=(i, i + 1))) for i, (p, _) in enumerate(path)]
        layers = tuple({parent: layer} for parent, layer in path)
        scales = (1.0, 0.5, 2.0)[: len(path)]
        everything = (*rules, Rule("passthrough", (Input("base"),)))
        recipe = Recipe(sources, "base", everything, dtype="float32", layers=layers, input_scales=scales)
        found.append(Candidate(number, recipe))
    return found


def worker(sources: dict[str, ParentSource]) -> Worker:
    parents = Parents.open(sources, base="base")
    resident, tasks = FlowResident(build_module(parents["base"]), parents), suite(parents)
    assert isinstance(tasks.language_model, TrieLanguageModel)
    return Worker(
        resident,
        tasks,
        tally=tasks.language_model.tally,
        score_together=lambda recipes, budget, _: tasks.evaluate_together(resident.assembled(recipes), budget),
    )


def suite(parents: Parents) -> TaskSuite:
    items = [MultipleChoice(str(i), f"a question, number {i}: {i} + 1 =", (str(i + 1), "no"), 0) for i in range(9)]
    task = Task("sums", tuple(items), "margin")
    tokenizer = load_tokenizer(parents["base"].directory)
    return make_suite([task], tokenizer=tokenizer, shares={"search": 1.0, "validation": 0.0, "test": 0.0}, seed=0)


def test_candidates_that_share_layers_have_the_scores_of_each_alone(sources):
    alone, together = worker(sources), worker(sources)
    done = together.evaluate_together(candidates(sources), Budget("search"))
    for candidate, one in zip(candidates(sources), done, strict=True):
        expected = alone.evaluate(candidate, Budget("search"))
        assert isinstance(expected, Scored), expected
        assert isinstance(one, Scored), one
        assert one.scores == expected.scores
    assert len({tuple(one.scores.values) for one in done if isinstance(one, Scored)}) == 4


def test_what_candidates_take_together_is_shared_evenly_and_fewer_tokens_than_alone(sources):
    alone, together = worker(sources), worker(sources)
    works = [one.work for one in together.evaluate_together(candidates(sources), Budget("search"))]
    done = [alone.evaluate(candidate, Budget("search")) for candidate in candidates(sources)]
    assert len({*works}) == 1
    assert works[0] is not None
    assert works[0].together == len(PATHS)
    lone = [one.work.prompt_tokens for one in done if isinstance(one, Scored) and one.work is not None]
    assert lone == [lone[0]] * len(PATHS)
    assert 0 < works[0].prompt_tokens < lone[0]
    assert works[0].generated_tokens == 0


def test_a_path_that_cannot_be_built_fails_alone(sources):
    given = candidates(sources)
    nowhere = Recipe(
        sources, "base", (Rule("passthrough", (Input("base"),)),), dtype="float32", layers=({"base": 0}, {"base": 7})
    )
    given[2] = Candidate(2, nowhere)
    done = worker(sources).evaluate_together(given, Budget("search"))
    assert [type(one) for one in done] == [Scored, Scored, Failure, Scored, Scored]
