"""Every operator by name, and the check of a rule against what its operator knows.

To add an operator: write its function, and one row in the catalogue of its family; the tests in
tests/search_spaces/operators/test_registry.py run on it from then on. No torch is loaded before something is merged.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from search_spaces.errors import SpaceError, did_you_mean
from search_spaces.operators.catalogue.averages import AVERAGES
from search_spaces.operators.catalogue.selections import SELECTIONS
from search_spaces.operators.catalogue.spectral import SPECTRAL
from search_spaces.operators.catalogue.spherical import SPHERICAL
from search_spaces.operators.catalogue.task_vectors import TASK_VECTORS
from search_spaces.operators.operator import Operands, Operator, Recall, Trim
from search_spaces.operators.parameters import Kind
from search_spaces.recipe import Input, Parameter, Rule

__all__ = ["OPERATORS", "Operands", "Operator", "Recall", "Trim", "check_rule", "nearest_name", "operator_named"]

FAMILIES: Mapping[str, tuple[Operator, ...]] = MappingProxyType(
    {
        "Averages": AVERAGES,
        "Spherical": SPHERICAL,
        "Task vectors, in a pipeline": TASK_VECTORS,
        "Task vectors, by other rules": SELECTIONS,
        "Spectral": SPECTRAL,
    }
)
OPERATORS: Mapping[str, Operator] = MappingProxyType(
    {operator.name: operator for family in FAMILIES.values() for operator in family}
)


def operator_named(name: str) -> Operator:
    """Return an operator.

    Raises:
        SpaceError: there is none of that name; the message suggests the nearest.
    """
    if name not in OPERATORS:
        raise SpaceError(f"operator: expected one of {list(OPERATORS)}, found {name!r}{nearest_name(name, OPERATORS)}")
    return OPERATORS[name]


def check_rule(rule: Rule) -> Rule:
    """Return the rule with every default filled in and every value in the form of its kind.

    Raises:
        SpaceError: an unknown operator or parameter, a required parameter that is missing, a value of the wrong type
            or out of range, or too few or too many inputs. Whether the weights of a normalised average cancel is
            checked where they are divided.
    """
    operator = operator_named(rule.operator)
    fewest, most = operator.n_inputs
    if not fewest <= len(rule.inputs) <= (most or len(rule.inputs)):
        expected = f"exactly {fewest}" if fewest == most else f"at least {fewest}"
        raise SpaceError(f"{rule.operator}: expected {expected} inputs, found {len(rule.inputs)}")
    inputs = tuple(
        Input(i.parent, _filled(i.parameters, operator.input_parameters, f"{rule.operator}, parent {i.parent!r}"))
        for i in rule.inputs
    )
    return Rule(rule.operator, inputs, _filled(rule.parameters, operator.parameters, rule.operator), rule.where)


def nearest_name(name: str, names: Iterable[str]) -> str:
    """Return " (did you mean 'x'?)" for a misspelt name, or an empty string when nothing is near."""
    hint = did_you_mean(name, names)
    return f" ({hint})" if hint else ""


def _filled(given: Mapping[str, Parameter], known: Mapping[str, Kind], context: str) -> dict[str, Parameter]:
    for name in given:
        if name not in known:
            raise SpaceError(
                f"{context}: expected parameters among {sorted(known)}, found {name!r}{nearest_name(name, known)}"
            )
    filled = {}
    for name, kind in known.items():
        value = given.get(name, kind.default)
        if value is None:
            raise SpaceError(f"{context}: expected the parameter {name!r}, found none")
        filled[name] = kind.checked(value, f"{context}: {name}")
    return filled
