"""What a recipe's rules say of its merge: what it reads and draws besides weights, and each parent's share."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace

from search_spaces.operators.registry import check_rule, find_operator
from search_spaces.recipes.recipe import Recipe
from search_spaces.recipes.rule import Rule


def kinds_read(rules: Iterable[Rule]) -> tuple[str, ...]:
    """Return the kinds of the parents' statistics that some rules' operators read, each once, in order."""
    return tuple(dict.fromkeys(kind for rule in rules for kind in find_operator(rule.operator).statistics))


def has_random_masks(recipe: Recipe) -> bool:
    """Return whether the merge depends on the recipe's seed."""
    return any(_draws(check_rule(rule)) for rule in recipe.rules)


def with_fresh_masks(recipe: Recipe, n: int) -> tuple[Recipe, ...]:
    """Return the recipe with each of the `n` seeds that follow its own."""
    return tuple(replace(recipe, seed=recipe.seed + i) for i in range(1, n + 1))


def _draws(rule: Rule) -> bool:
    """Return whether a checked rule draws random numbers; two operators say by parameters of their own."""
    if any(given.parameters.get("draw", 0) for given in rule.inputs):
        return True
    drawing = find_operator(rule.operator).random and rule.parameters.get("sparsify") in (None, "random", "ranked")
    return drawing and any(float(given.parameters.get("density", 0.0)) < 1.0 for given in rule.inputs)


def merge_shares(recipe: Recipe) -> Mapping[str, float] | None:
    """Return parent -> share, the mean over the recipe's rules; None where it has no rules (niches).

    An average's shares are its weights, scaled to sum to 1; slerp's are 1 - t and t. Of task vectors, every parent has
    its weight times lambda, and the base what is left to 1. It is a guess of what a merge can do (a prior), no more.
    """
    if not recipe.rules:
        return None
    shares: dict[str, float] = defaultdict(float)
    for rule in recipe.rules:
        for parent, share in _of_rule(rule, recipe.base).items():
            shares[parent] += share / len(recipe.rules)
    return dict(shares)


def _of_rule(rule: Rule, base: str) -> dict[str, float]:
    if "t" in rule.parameters and len(rule.inputs) == 2:
        t = _number(rule.parameters["t"], 0.5)
        return {rule.inputs[0].parent: 1.0 - t, rule.inputs[1].parent: t}
    weights = {source.parent: _number(source.parameters.get("weight"), 1.0) for source in rule.inputs}
    total = sum(weights.values())
    if not find_operator(rule.operator).needs_base:
        equal = 1.0 / len(weights)
        return {parent: weight / total if abs(total) > 1e-6 else equal for parent, weight in weights.items()}
    scale = _number(rule.parameters.get("lambda"), 1.0)
    if rule.parameters.get("normalize") is True and abs(total) > 1e-6:
        scale /= total
    shares = {parent: scale * weight for parent, weight in weights.items()}
    rest = 1.0 - sum(shares.values())
    if rule.parameters.get("centre") == "mean":  # which stands in for the base
        return {parent: share + rest / len(shares) for parent, share in shares.items()}
    return {base: rest, **shares}


def _number(value: object, default: float) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else default
