"""How much of each parent is in a merge, as far as its recipe says."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from search_spaces.operators.registry import OPERATORS
from search_spaces.recipes.recipe import Recipe, Rule


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
    operator = OPERATORS.get(rule.operator)
    if operator is None or not operator.needs_base:
        equal = 1.0 / len(weights)
        return {parent: weight / total if abs(total) > 1e-6 else equal for parent, weight in weights.items()}
    scale = _number(rule.parameters.get("lambda"), 1.0)
    if rule.parameters.get("normalize") is True and abs(total) > 1e-6:
        scale /= total
    shares = {parent: scale * weight for parent, weight in weights.items()}
    return {base: 1.0 - sum(shares.values()), **shares}


def _number(value: object, default: float) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else default
