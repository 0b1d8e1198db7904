"""Optimisers, spaces and tasks of a user's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evomerge.candidate import Outcome
from search_spaces.recipes.recipe import ParentSource, Recipe
from search_spaces.recipes.rule import Input, Rule

Genome = NDArray[np.float64]


class Steps:
    """Proposes points of a sequence, and notes what it is told."""

    def __init__(self, dim: int) -> None:
        self.dim = dim
        self.asked = 0
        self.told: list[int] = []

    def ask(self, n: int) -> Sequence[Genome]:
        first, self.asked = self.asked, self.asked + n
        return [np.array([(0.37 * (i + 1) * (d + 1)) % 1.0 for d in range(self.dim)]) for i in range(first, first + n)]

    def tell(self, outcomes: Sequence[Outcome]) -> None:
        self.told += [outcome.candidate.number for outcome in outcomes]


class OneScale:
    """One gene: every parent's task vector is scaled by it."""

    dim = 1

    def __init__(self, base: str, parents: Mapping[str, str]) -> None:
        self._sources = {"base": ParentSource(base), **{name: ParentSource(path) for name, path in parents.items()}}
        self._names = tuple(parents)

    def decode(self, genome: Genome) -> Recipe:
        inputs = tuple(Input(name, {"weight": round(float(genome[0]), 6)}) for name in self._names)
        return Recipe(self._sources, "base", (Rule("task_arithmetic", inputs),), dtype="float32")

    def encode(self, recipe: Recipe) -> Genome:
        return np.array([float(recipe.rules[0].inputs[0].parameters["weight"])])


def smallness(model: Any, tokenizer: Any) -> dict[str, float]:
    """How small the weights of two matrices are."""
    named = dict(model.named_parameters())
    norms = [float(named[f"model.layers.{i}.mlp.up_proj.weight"].norm()) for i in range(2)]
    return {f"layer {i % 2}, {i}": 1.0 / (1.0 + norms[i % 2]) for i in range(10)}
