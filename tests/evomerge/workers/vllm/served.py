"""What tests of engines share: a family that vLLM's CPU attention can run, recipes, and the plain engine on it."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch
from torch import nn

from evomerge.workers.vllm.resident import InProcess, VllmResident
from evomerge.workers.vllm.served_weights import ParentsToOpen
from evomerge.workers.vllm.server import ServerSettings, VllmServer
from fitness.engine.model.tokenizer import Tokenizer, load_tokenizer
from search_spaces.layers.architecture import build_module
from search_spaces.live.resident import ResidentModel
from search_spaces.output.companion_files import write_companions
from search_spaces.parents.parents import Parents
from search_spaces.recipes.recipe import OutputTokenizer, ParentSource, Recipe
from search_spaces.recipes.rule import Input, Rule, Where
from tests.conftest import Family, make_family

# Of tests that start vLLM: `make test-vllm` runs them, in an environment that has it.
needs_vllm = [
    pytest.mark.vllm,
    pytest.mark.filterwarnings("ignore"),  # of libraries that vLLM loads
    pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="vllm is not installed: make test-vllm"),
]


def served_family(root: Path, **config: object) -> Family:
    """Return models that write something: weights large enough for another token to be the likeliest each time."""
    sizes = {"hidden": 64, "num_attention_heads": 2, "num_key_value_heads": 2, "max_position_embeddings": 512}
    return make_family(root, scale=0.05, initializer_range=0.15, **{**sizes, **config})


def sources_of(family: Family) -> dict[str, ParentSource]:
    return {name: ParentSource(str(path)) for name, path in family.parents.items()}


def to_open(family: Family) -> ParentsToOpen:
    return ParentsToOpen(sources_of(family), "base", OutputTokenizer(), {})


def recipe_of(family: Family, *rules: Rule, dtype: str = "float32") -> Recipe:
    return Recipe(sources_of(family), "base", rules, dtype=dtype)


def two_recipes(family: Family) -> tuple[Recipe, Recipe]:
    """Return recipes whose models write something else."""
    mean = Rule("linear", (Input("alpha", {"weight": 0.5}), Input("beta", {"weight": 0.5})))
    other = Rule("task_arithmetic", (Input("alpha", {"weight": 0.2}), Input("beta", {"weight": 1.3})))
    return recipe_of(family, mean), recipe_of(family, other)


def faulty_recipes(family: Family) -> list[Recipe]:
    """Return recipes that cannot be carried out: one finds no rule for most tensors, the other overflows."""
    partial = Rule("passthrough", (Input("alpha"),), where=Where(contains=("norm",)))
    huge = Rule("linear", (Input("alpha", {"weight": 1e7}), Input("beta", {"weight": 1e7})), {"normalize": False})
    return [recipe_of(family, partial), recipe_of(family, huge, dtype="float16")]


def plain_resident(family: Family) -> ResidentModel:
    parents = to_open(family).open()
    return ResidentModel(empty_module(parents), parents)


def server_of(family: Family, **settings: object) -> VllmServer:
    parents = to_open(family).open()

    def write_skeleton(directory: Path) -> None:
        write_companions(parents, "base", OutputTokenizer(), directory)

    asked = ServerSettings(**{"dtype": "float32", "on_gpu": False, **settings})  # type: ignore[arg-type]
    return VllmServer(write_skeleton, to_open(family), tokenizer_of(family), asked)


def served_resident(family: Family, **settings: object) -> VllmResident:
    parents = to_open(family).open()
    here = InProcess(lambda: empty_module(parents), lambda: plain_resident(family), parents)
    return VllmResident(server_of(family, **settings), here)


def overflowing_recipe(family: Family) -> Recipe:
    """Return a recipe of finite weights with logits beyond float32."""
    large = [
        Rule("passthrough", (Input("alpha", {"scale": scale}),), where=Where(contains=(name,)))
        for name, scale in (("model.norm", 1e25), ("embed_tokens", 1e17))
    ]
    return recipe_of(family, *large, Rule("passthrough", (Input("alpha"),)))


def empty_module(parents: Parents) -> nn.Module:
    return build_module(parents["base"], compute_dtype=torch.float32)


def tokenizer_of(family: Family) -> Tokenizer:
    return load_tokenizer(family.base)
