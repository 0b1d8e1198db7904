"""What a campaign file may say of operators and genes is what the operators take."""

from __future__ import annotations

from typing import get_args

import pytest

from evomerge.config.genes import EXACTLY_TWO, NEEDS_BASE, OPERATORS, Gene, OperatorName, checked_genes
from search_spaces.errors import SpaceError
from search_spaces.groups import Groups
from search_spaces.operators import registry
from search_spaces.recipe import ParentSource, Rule
from search_spaces.weight_space import WeightSpace

PARENTS = {name: ParentSource(name) for name in ("base", "a", "b")}
GIVEN: dict[str, dict[str, Gene]] = {"mwa": {"metric": {"a": 2.0, "b": 1.0}}}


def test_config_knows_every_operator_that_merges_several_parents() -> None:
    merging = {name for name, operator in registry.OPERATORS.items() if operator.n_inputs[1] != 1}
    assert set(OPERATORS) == set(get_args(OperatorName)) == merging
    assert {name for name in OPERATORS if registry.OPERATORS[name].needs_base} == NEEDS_BASE
    assert {"slerp", "nuslerp"} <= EXACTLY_TWO


@pytest.mark.parametrize("name", OPERATORS)
def test_the_default_genes_of_an_operator_make_a_search_space(name: str) -> None:
    genes = checked_genes(GIVEN.get(name, {}), (name,))
    space = WeightSpace(PARENTS, "base", n_layers=4, operators=[name], groups=Groups(2), genes=genes)
    assert space.dim > 0


def test_the_default_genes_of_all_operators_together_make_a_search_space() -> None:
    genes = checked_genes({"metric": {"a": 2.0, "b": 1.0}}, OPERATORS)
    arguments = {"n_layers": 4, "operators": OPERATORS, "groups": Groups(2), "genes": genes}
    assert WeightSpace(PARENTS, "base", operator_per="group", **arguments).dim > 30  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [-1.0, 0.0, 1e-9, 0.5, 1.0, 1.5, True, "plus", "tensor"])
@pytest.mark.parametrize("operator", OPERATORS)
def test_config_allows_exactly_the_values_that_the_registry_takes(operator: str, value: float | bool | str) -> None:
    known = registry.OPERATORS[operator]
    for name, kind in known.kinds.items():
        try:
            kind.checked(value, name)
        except SpaceError:
            with pytest.raises(ValueError, match="expected"):
                checked_genes({**GIVEN.get(operator, {}), name: value}, (operator, "linear"))
        else:
            genes = {**GIVEN.get(operator, {}), name: value}
            assert checked_genes(genes, (operator, "linear"))[name] == value


@pytest.mark.parametrize(
    ("operator", "genes", "message"),
    [
        ("ties", {"zero_sign": ("plus", "minus")}, r"expected one of \['plus', 'majority', 'drop'\]"),
        ("ties", {"weight": {"a": (1.0, 0.0)}}, "expected low < high"),
        ("ties", {"normalize": 1.0}, "expected true or false"),
        ("wsm", {"window": (0.5, 3.0)}, "expected a whole number of at least 0"),
        ("mwa", {}, "expected the key metric"),
    ],
)
def test_what_makes_no_sense_is_refused(operator: str, genes: dict[str, Gene], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        checked_genes(genes, (operator,))


def test_rules_of_unknown_operators_are_refused_by_the_registry() -> None:
    with pytest.raises(SpaceError, match="did you mean 'ties'"):
        registry.check_rule(Rule("tise", ()))
