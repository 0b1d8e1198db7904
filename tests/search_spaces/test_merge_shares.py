from __future__ import annotations

import pytest

from search_spaces.merge_shares import merge_shares
from search_spaces.recipes.recipe import Input, ParentSource, Recipe, Rule, Where

PARENTS = {name: ParentSource(name) for name in ("base", "a", "b")}


def recipe(*rules: Rule) -> Recipe:
    return Recipe(PARENTS, "base", rules)


def rule(operator: str, a: float, b: float, **parameters: object) -> Rule:
    return Rule(operator, (Input("a", {"weight": a}), Input("b", {"weight": b})), parameters)


@pytest.mark.parametrize(
    ("made", "shares"),
    [
        (rule("linear", 1.0, 3.0), {"a": 0.25, "b": 0.75}),
        (Rule("slerp", (Input("a"), Input("b")), {"t": 0.3}), {"a": 0.7, "b": 0.3}),
        (rule("task_arithmetic", 0.5, 0.2), {"base": 0.3, "a": 0.5, "b": 0.2}),
        (rule("ties", 1.0, 1.0, normalize=True), {"base": 0.0, "a": 0.5, "b": 0.5}),
        (rule("ties", 1.0, 1.0, **{"lambda": 0.4}), {"base": 0.2, "a": 0.4, "b": 0.4}),
        (Rule("passthrough", (Input("a"),)), {"a": 1.0}),
        (rule("linear", 1.0, -1.0), {"a": 0.5, "b": 0.5}),
    ],
)
def test_shares_are_what_the_operator_makes_of_the_weights(made, shares):
    assert merge_shares(recipe(made)) == pytest.approx(shares)


def test_rules_count_the_same():
    first = Rule("passthrough", (Input("a"),), where=Where(module="mlp"))
    assert merge_shares(recipe(first, rule("linear", 1.0, 1.0))) == pytest.approx({"a": 0.75, "b": 0.25})
