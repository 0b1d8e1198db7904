"""The check of rules, for every operator of the registry; what operators do is in test_oracles.py."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_spaces.errors import SpaceError
from search_spaces.operators.registry import FAMILIES, OPERATORS, Operator, check_rule, find_operator
from search_spaces.recipes.rule import Input, Parameter, Rule
from tests.search_spaces.operators.merging import example

any_operator = given(operator=st.sampled_from(list(OPERATORS.values())))


@any_operator
def test_an_unknown_parameter_is_named_with_the_nearest(operator: Operator) -> None:
    rule = example(operator)
    with pytest.raises(SpaceError, match="found 'densty'"):
        check_rule(Rule(rule.operator, rule.inputs, {**rule.parameters, "densty": 0.5}))


@any_operator
def test_the_check_is_idempotent(operator: Operator) -> None:
    checked = check_rule(example(operator))
    assert check_rule(checked) == checked


def test_an_unknown_operator_is_named_with_the_nearest() -> None:
    with pytest.raises(SpaceError, match=r"found 'dare_tise' \(did you mean 'dare_ties'\?\)"):
        find_operator("dare_tise")


A, B = Input("a", {"weight": 1.0}), Input("b", {"weight": 1.0})


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (Rule("ties", (Input("a"),)), r"ties, parent 'a': expected the parameter 'weight', found none"),
        (Rule("ties", (Input("a", {"weight": 1.0, "density": 0.0}),)), r"share in \(0, 1\], found 0.0"),
        (Rule("ties", (Input("a", {"weight": 1.0, "density": 1.1}),)), r"share in \(0, 1\], found 1.1"),
        (Rule("ties", (Input("a", {"weight": float("nan")}),)), "weight: expected a finite number, found nan"),
        (Rule("ties", (Input("a", {"weight": True}),)), "weight: expected a finite number, found True"),
        (Rule("ties", (A,), {"normalize": 1.0}), "normalize: expected true or false, found 1.0"),
        (Rule("dare_ties", (A,), {"rescale": "l2"}), "rescale: expected true, false or one of"),
        (Rule("slerp", (Input("a"), Input("b")), {"t": float("inf")}), "t: expected a finite number, found inf"),
        (Rule("slerp", (Input("a"), Input("b")), {"t": "half"}), "t: expected a finite number, found 'half'"),
        (Rule("slerp", (Input("a"),), {"t": 0.5}), "slerp: expected exactly 2 inputs, found 1"),
        (Rule("passthrough", (Input("a"), Input("b"))), "passthrough: expected exactly 1 inputs, found 2"),
        (Rule("linear", ()), "linear: expected at least 1 inputs, found 0"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(rule: Rule, message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        check_rule(rule)


@pytest.mark.parametrize(("given", "meaning"), [(True, "l1"), (False, "none"), ("density", "density")])
def test_rescale_takes_mergekits_truth_values(given: Parameter, meaning: str) -> None:
    assert check_rule(Rule("dare_ties", (A, B), {"rescale": given})).parameters["rescale"] == meaning


def test_defaults_are_filled_in() -> None:
    checked = check_rule(Rule("ties", (Input("a", {"weight": 1}),)))
    assert dict(checked.inputs[0].parameters) == {"weight": 1.0, "density": 1.0}
    assert dict(checked.parameters) == {name: kind.default for name, kind in find_operator("ties").parameters.items()}
    assert (checked.parameters["lambda"], checked.parameters["normalize"]) == (1.0, True)


@pytest.mark.parametrize(("given", "found"), [(3, 3), (3.0, 3)])
def test_a_whole_number_may_be_written_as_either_and_is_an_int(given: float, found: int) -> None:
    value = check_rule(window(given)).parameters["window"]
    assert (value, type(value)) == (found, int)


def window(n: Parameter) -> Rule:
    return Rule("wsm", (Input("a"), Input("b")), {"window": n})


@pytest.mark.parametrize("n", [1.5, -1, True, "two", float("nan"), float("inf")])
def test_what_is_no_whole_number_in_range_is_refused(n: Parameter) -> None:
    with pytest.raises(SpaceError, match="wsm: window: expected a whole number of at least 0, found"):
        check_rule(window(n))


def test_the_registry_is_read_without_torch() -> None:
    program = (
        "import sys, search_spaces.operators.registry, search_spaces.spaces.weight_space; print('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=True, capture_output=True).stdout == b"False\n"


def test_every_name_is_registered_once() -> None:
    assert sum(map(len, FAMILIES.values())) == len(OPERATORS)
