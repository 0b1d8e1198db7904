"""The names that config repeats, because it may not import torch, are those of the operators."""

import pytest

from evomerge.config_space import GENES, NEEDS_BASE, OPERATOR_GENES, OPERATORS
from search_spaces.errors import SpaceError
from search_spaces.operators import registry
from search_spaces.recipe import Input, Rule


def test_config_knows_every_operator_that_merges_several_parents() -> None:
    merging = {name for name, operator in registry.OPERATORS.items() if operator.n_inputs[1] != 1}
    assert set(OPERATORS) == merging


@pytest.mark.parametrize("name", OPERATORS)
def test_config_and_registry_agree_on_an_operator(name: str) -> None:
    operator = registry.OPERATORS[name]
    assert set(OPERATOR_GENES[name]) == set(operator.genes)
    assert (name in NEEDS_BASE) == operator.needs_base
    assert (name == "slerp") == (operator.n_inputs == (2, 2))


@pytest.mark.parametrize("value", [-1.0, 0.0, 1e-9, 0.5, 1.0, 1.5, float("inf"), float("nan")])
@pytest.mark.parametrize(("operator", "gene"), [(o, g) for o in OPERATORS for g in OPERATOR_GENES[o]])
def test_config_allows_no_value_that_the_registry_refuses(operator: str, gene: str, value: float) -> None:
    known = registry.OPERATORS[operator]
    values = {g: 0.5 for g in OPERATOR_GENES[operator]} | {gene: value}
    inputs = {g: v for g, v in values.items() if g in known.input_parameters}
    own = {g: v for g, v in values.items() if g in known.parameters}
    try:
        registry.check_rule(Rule(operator, (Input("a", inputs), Input("b", inputs)), own))
    except SpaceError:
        assert not GENES[gene].holds(value)


@pytest.mark.parametrize(
    ("gene", "legal", "illegal"),
    [("weight", (-1.0, 0.0, 2.0), ()), ("density", (1e-9, 1.0), (0.0, 1.1)), ("t", (0.0, 1.0), (-0.1, 1.1))],
)
def test_a_gene_has_its_legal_range(gene: str, legal: tuple[float, ...], illegal: tuple[float, ...]) -> None:
    assert all(map(GENES[gene].holds, legal))
    assert not any(map(GENES[gene].holds, (*illegal, float("inf"), -float("inf"), float("nan"))))
