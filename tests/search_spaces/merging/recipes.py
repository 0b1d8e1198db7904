"""Recipes and parents that the tests of this folder share."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor

from search_spaces.parents.parents import Parents
from search_spaces.recipes.recipe import ParentSource, Recipe
from search_spaces.recipes.rule import Input, Rule, Where


def sources(directories: Mapping[str, Path]) -> dict[str, ParentSource]:
    return {name: ParentSource(str(directory)) for name, directory in directories.items()}


def opened(directories: Mapping[str, Path]) -> Parents:
    return Parents.open(sources(directories))


def merge(
    parents: Parents, operator: str = "linear", *, dtype: str = "float32", seed: int = 0, **weights: float
) -> Recipe:
    """One rule for all tensors: parent=weight, density 0.5 where the operator has one."""
    density = {"density": 0.5} if operator in ("ties", "dare_ties", "dare_linear") else {}
    inputs = tuple(Input(name, {"weight": weight, **density}) for name, weight in weights.items())
    return recipe(parents, Rule(operator, inputs), dtype=dtype, seed=seed)


def recipe(parents: Parents, *rules: Rule, **fields: object) -> Recipe:
    """A recipe on all parents; float32 unless a field says otherwise."""
    named = {name: checkpoint.source for name, checkpoint in parents.checkpoints.items()}
    return Recipe(named, "base", rules, **{"dtype": "float32", **fields})  # type: ignore[arg-type]


def copy_of(parent: str, where: Where = Where()) -> Rule:  # noqa: B008 -- frozen
    return Rule("passthrough", (Input(parent),), where=where)


def altered(source: Path, target: Path, change: Callable[[dict[str, Tensor]], None]) -> Path:
    """Copy a checkpoint and change its tensors."""
    shutil.copytree(source, target)
    tensors = load_file(target / "model.safetensors")
    change(tensors)
    save_file(tensors, target / "model.safetensors", metadata={"format": "pt"})
    return target


def without(name: str) -> Callable[[dict[str, Tensor]], None]:
    """A change for `altered`: drop one tensor."""

    def change(tensors: dict[str, Tensor]) -> None:
        del tensors[name]

    return change
