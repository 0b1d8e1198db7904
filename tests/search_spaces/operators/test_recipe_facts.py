from __future__ import annotations

import pytest
import torch

from search_spaces.operators.recipe_facts import has_random_masks, merge_shares, with_fresh_masks
from search_spaces.operators.registry import OPERATORS, Operands, check_rule
from search_spaces.recipes.recipe import ParentSource, Recipe
from search_spaces.recipes.rule import Input, Rule, Where

PARENTS = {name: ParentSource(f"/models/{name}") for name in ("base", "a", "b")}
SPARSE = [name for name, operator in OPERATORS.items() if "density" in operator.input_parameters]


def recipe(operator: str, density: float, **own) -> Recipe:
    inputs = tuple(Input(name, {"weight": 0.5, "density": density}) for name in ("a", "b"))
    return Recipe(PARENTS, "base", (Rule(operator, inputs, own),), seed=5)


def merged(rule: Rule, offset: int) -> torch.Tensor:
    rule = check_rule(rule)
    numbers = torch.Generator().manual_seed(0)
    tensors = tuple(torch.randn(40, 40, generator=numbers) for _ in range(3))
    operands = Operands(
        tensors[:2], tensors[2], tuple(i.parameters for i in rule.inputs), rule.parameters, lambda i: offset + i
    )
    return OPERATORS[rule.operator].merge(operands)


def composed() -> list[Recipe]:
    kinds = OPERATORS["composed"].parameters["sparsify"].choices
    return [recipe("composed", 0.5, sparsify=kind) for kind in kinds]


@pytest.mark.parametrize(
    "made",
    [*(recipe(name, density) for name in SPARSE for density in (0.5, 1.0)), *composed()],
    ids=lambda made: f"{made.rules[0].operator} {dict(made.rules[0].parameters)} {made.rules[0].inputs[0].parameters}",
)
def test_a_recipe_is_said_to_have_random_masks_exactly_where_its_seed_matters(made: Recipe) -> None:
    depends = not torch.equal(merged(made.rules[0], 0), merged(made.rules[0], 1000))
    assert has_random_masks(made) == depends


def test_fresh_masks_change_nothing_but_the_seed() -> None:
    made = recipe("dare_ties", 0.5)
    fresh = with_fresh_masks(made, 3)
    assert [other.seed for other in fresh] == [6, 7, 8]
    assert all(other.rules == made.rules for other in fresh)


PARENTS = {name: ParentSource(name) for name in ("base", "a", "b")}


def of_rules(*rules: Rule) -> Recipe:
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
        (rule("task_arithmetic", 0.4, 0.2, centre="mean"), {"a": 0.6, "b": 0.4}),
        (rule("tests.search_spaces.operators.outside:CLIPPED", 0.5, 0.2), {"base": 0.3, "a": 0.5, "b": 0.2}),
        (Rule("passthrough", (Input("a"),)), {"a": 1.0}),
        (rule("linear", 1.0, -1.0), {"a": 0.5, "b": 0.5}),
    ],
)
def test_shares_are_what_the_operator_makes_of_the_weights(made, shares):
    assert merge_shares(of_rules(made)) == pytest.approx(shares)


def test_rules_count_the_same():
    first = Rule("passthrough", (Input("a"),), where=Where(module="mlp"))
    assert merge_shares(of_rules(first, rule("linear", 1.0, 1.0))) == pytest.approx({"a": 0.75, "b": 0.25})
