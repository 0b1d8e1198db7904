"""vLLM in this process: merges inside of it, and answers that are the plain engine's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from evomerge.testing.engine_contract import EngineContract
from evomerge.workers.vllm.resident import VllmResident
from evomerge.workers.worker import Resident
from fitness.engine.language_model import Completion, NextTokens
from fitness.engine.model.tokenizer import Tokenizer
from search_spaces.recipes.recipe import Recipe
from search_spaces.recipes.rule import Input, Rule, Where
from tests.conftest import Family
from tests.evomerge.workers.vllm.served import (
    faulty_recipes,
    needs_vllm,
    overflowing_recipe,
    plain_resident,
    recipe_of,
    served_family,
    served_resident,
    tokenizer_of,
    two_recipes,
)

pytestmark = needs_vllm


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Family:
    return served_family(tmp_path_factory.mktemp("served"))


@pytest.fixture(scope="module")
def served(models: Family) -> Iterator[VllmResident]:
    resident = served_resident(models)
    yield resident
    resident.close()


@pytest.fixture(scope="module")
def resident(served: VllmResident) -> Resident:
    return served


@pytest.fixture(scope="module")
def reference(models: Family) -> Resident:
    return plain_resident(models)


@pytest.fixture(scope="module")
def tokenizer(models: Family) -> Tokenizer:
    return tokenizer_of(models)


@pytest.fixture(scope="module")
def recipes(models: Family) -> tuple[Recipe, Recipe]:
    return two_recipes(models)


@pytest.fixture(scope="module")
def faulty(models: Family) -> Sequence[Recipe]:
    return faulty_recipes(models)


@pytest.fixture(scope="module")
def overflowing(models: Family) -> Recipe:
    return overflowing_recipe(models)


class TestVllmEngine(EngineContract):
    def test_what_is_no_completion_is_asked_of_vllms_own_weights(
        self, served: VllmResident, tokenizer: Tokenizer, recipes: tuple[Recipe, Recipe]
    ) -> None:
        served.become(recipes[0])
        self.answers(served, tokenizer, [NextTokens("one")])
        assert served.same is not None
        assert served.same.shared
        keys = dict(served.same.module().named_parameters())["model.layers.1.self_attn.k_proj.weight"]
        whole = dict(served.server.model().named_parameters())["model.layers.1.self_attn.qkv_proj.weight"]
        assert keys.untyped_storage().data_ptr() == whole.untyped_storage().data_ptr()

    def test_only_tensors_that_change_are_made(
        self, served: VllmResident, recipes: tuple[Recipe, Recipe], models: Family
    ) -> None:
        (rule,) = recipes[0].rules
        alpha = Rule("passthrough", (Input("alpha"),), where=Where(module="mlp"))
        n_all = served.server.become(recipes[1]).n_tensors
        assert served.server.become(recipes[1]).n_tensors == 0
        assert served.server.become(recipes[0]).n_tensors == n_all
        assert served.server.become(recipe_of(models, alpha, rule)).n_tensors == 2 * 3  # layers, tensors of an MLP

    def test_without_a_reset_of_the_prefix_cache_the_answers_are_those_of_the_recipe_before(
        self,
        served: VllmResident,
        reference: Resident,
        tokenizer: Tokenizer,
        recipes: tuple[Recipe, Recipe],
        long_prompt: str,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        requests = [Completion(long_prompt, max_new_tokens=12)]
        served.become(recipes[0])
        self.answers(served, tokenizer, requests)
        with monkeypatch.context() as patch:
            patch.setattr(served.server.llm, "reset_prefix_cache", lambda: True)
            served.become(recipes[1])
        stale = self.answers(served, tokenizer, requests)
        reference.become(recipes[1])
        expected = self.answers(reference, tokenizer, requests)
        assert stale != expected
        served.become(recipes[1])
        assert self.answers(served, tokenizer, requests) == expected
