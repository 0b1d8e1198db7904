"""The engine that is the reference keeps the contract of engines itself, on modules of its own."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from evomerge.testing.engine_contract import EngineContract
from evomerge.workers.worker import Resident
from fitness.engine.model.tokenizer import Tokenizer
from search_spaces.recipes.recipe import Recipe
from tests.conftest import Family
from tests.evomerge.workers.vllm.served import (
    faulty_recipes,
    overflowing_recipe,
    plain_resident,
    served_family,
    tokenizer_of,
    two_recipes,
)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Family:
    return served_family(tmp_path_factory.mktemp("served"))


@pytest.fixture(scope="module")
def resident(models: Family) -> Resident:
    return plain_resident(models)


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


class TestPlainEngine(EngineContract):
    pass
