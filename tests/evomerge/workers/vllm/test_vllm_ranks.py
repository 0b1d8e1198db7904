"""vLLM on two tensor-parallel ranks, and with weights that it prepares anew each time."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from evomerge.workers.vllm.resident import VllmResident
from fitness.engine.language_model import Completion, CompletionLength, Continuation, LogLikelihood, NextTokens
from fitness.engine.trie import TrieLanguageModel
from fitness.errors import FitnessError
from search_spaces.errors import SpaceError
from tests.conftest import Family
from tests.evomerge.workers.vllm.served import (
    faulty_recipes,
    needs_vllm,
    plain_resident,
    served_family,
    server_of,
    tokenizer_of,
    two_recipes,
)

pytestmark = needs_vllm
TEXT = "the parents of a merge are read once, and what is made of them is what will be exported. " * 4


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Family:
    return served_family(tmp_path_factory.mktemp("served"), tied=False)


@pytest.fixture(scope="module", params=["reload", "tensor_parallel"])
def resident(models: Family, request: pytest.FixtureRequest) -> Iterator[VllmResident]:
    settings = {"reload": True} if request.param == "reload" else {"tensor_parallel": 2}
    server = server_of(models, **settings)
    yield VllmResident(server, None)
    server.close()


def test_answers_are_the_plain_engines(resident: VllmResident, models: Family) -> None:
    engine, reference = TrieLanguageModel(tokenizer_of(models)), plain_resident(models)
    asked = [Completion(prompt, stop=("e",), max_new_tokens=12) for prompt in (TEXT, TEXT + "one", "", "a merge is")]
    scored = [Continuation(context, said) for context in (TEXT, "", "one is") for said in (" two", "c")]
    written, likelihoods = engine.plan([*asked, *map(CompletionLength, asked)]), engine.plan(scored)
    first, second = two_recipes(models)
    for recipe in (first, second, first):
        resident.become(recipe)
        reference.become(recipe)
        assert written.answer(resident.model) == written.answer(reference.model)
        for one, other in zip(likelihoods.answer(resident.model), likelihoods.answer(reference.model), strict=True):
            assert isinstance(one, LogLikelihood)
            assert isinstance(other, LogLikelihood)
            assert one.value == pytest.approx(other.value, rel=1e-5, abs=1e-4)
            assert one.is_greedy == other.is_greedy


def test_a_recipe_that_cannot_be_carried_out_leaves_the_next_right(resident: VllmResident, models: Family) -> None:
    plan = TrieLanguageModel(tokenizer_of(models)).plan([Completion(TEXT, max_new_tokens=12)])
    first, second = two_recipes(models)
    resident.become(second)
    expected = plan.answer(resident.model)
    for recipe in faulty_recipes(models):
        resident.become(first)
        with pytest.raises(SpaceError):
            resident.become(recipe)
        resident.become(second)
        assert plan.answer(resident.model) == expected


def test_what_only_a_module_of_this_process_answers_is_refused_in_a_sentence(
    resident: VllmResident, models: Family
) -> None:
    plan = TrieLanguageModel(tokenizer_of(models)).plan([NextTokens("one")])
    resident.become(two_recipes(models)[0])
    with pytest.raises(FitnessError, match="distributions; write engine"):
        plan.answer(resident.model)
