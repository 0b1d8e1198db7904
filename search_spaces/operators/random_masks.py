"""Which recipes depend on their seed, and the same recipe under another one."""

from __future__ import annotations

from dataclasses import replace

from search_spaces.operators.registry import check_rule, find_operator
from search_spaces.recipes.recipe import Recipe, Rule


def has_random_masks(recipe: Recipe) -> bool:
    """Return whether the merge depends on the recipe's seed.

    Raises:
        SpaceError: a rule is wrong.
    """
    return any(_draws(check_rule(rule)) for rule in recipe.rules)


def with_fresh_masks(recipe: Recipe, n: int) -> tuple[Recipe, ...]:
    """Return the recipe with each of the `n` seeds that follow its own."""
    return tuple(replace(recipe, seed=recipe.seed + i) for i in range(1, n + 1))


def _draws(rule: Rule) -> bool:
    """Return whether a checked rule draws random numbers; `composed` says by a parameter of its own."""
    drawing = find_operator(rule.operator).random and rule.parameters.get("sparsify") in (None, "random", "ranked")
    return drawing and any(float(given.parameters.get("density", 0.0)) < 1.0 for given in rule.inputs)
