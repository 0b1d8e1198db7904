"""Every operator by name, and the check of a rule against what its operator knows.

To add an operator: write its function in the file of its family, describe it in `OPERATORS`; the tests in
tests/search_spaces/operators/test_registry.py run on it from then on.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

from torch import Tensor

from search_spaces.errors import SpaceError
from search_spaces.operators import averages, spherical, task_vectors
from search_spaces.operators.operator import Operands, Operator, Trim
from search_spaces.recipe import Input, Parameter, Rule

__all__ = ["OPERATORS", "Operands", "Operator", "Trim", "check_rule", "nearest_name", "operator_named"]

RESCALES = ("density", "l1", "none")

_WEIGHT = {"weight": (0.0, 1.5)}
_DENSITY = {"density": (0.1, 1.0)}
_LAMBDA = {"lambda": (0.3, 1.8)}


def _task_operator(
    merge: Callable[[Operands], Tensor],
    *,
    density: bool,
    normalize: bool,
    rescale: str | None,
    genes: Mapping[str, tuple[float, float]],
) -> Operator:
    return Operator(
        merge.__name__,
        merge,
        input_parameters={"weight": None, **({"density": 1.0} if density else {})},
        parameters={
            "lambda": 1.0,
            "normalize": normalize,
            "int8_mask": False,  # how mergekit stores its masks: read from its files, without effect here
            **({"rescale": rescale} if rescale else {}),
        },
        genes=genes,
        needs_base=True,
    )


OPERATORS: Mapping[str, Operator] = MappingProxyType(
    {
        operator.name: operator
        for operator in (
            Operator(
                "linear",
                averages.linear,
                input_parameters={"weight": None},
                parameters={"normalize": True},
                genes=_WEIGHT,
                needs_base=False,
            ),
            Operator(
                "slerp",
                spherical.slerp,
                input_parameters={},
                parameters={"t": None},
                genes={"t": (0.0, 1.0)},
                needs_base=False,
                n_inputs=(2, 2),
            ),
            _task_operator(
                task_vectors.task_arithmetic, density=False, normalize=False, rescale=None, genes={**_WEIGHT, **_LAMBDA}
            ),
            _task_operator(
                task_vectors.ties,
                density=True,
                normalize=True,
                rescale="none",
                genes={**_WEIGHT, **_DENSITY, **_LAMBDA},
            ),
            _task_operator(
                task_vectors.dare_linear,
                density=True,
                normalize=False,
                rescale="density",
                genes={**_WEIGHT, **_DENSITY, **_LAMBDA},
            ),
            _task_operator(
                task_vectors.dare_ties,
                density=True,
                normalize=False,
                rescale="density",
                genes={**_WEIGHT, **_DENSITY, **_LAMBDA},
            ),
            Operator(
                "passthrough",
                averages.passthrough,
                input_parameters={"scale": 1.0},
                parameters={},
                genes={"scale": (0.0, 1.5)},
                needs_base=False,
                n_inputs=(1, 1),
            ),
        )
    }
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
    """Return the rule with every default filled in, numbers as float and `rescale` as one of `RESCALES`.

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
    near = difflib.get_close_matches(name, list(names), n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""


def _filled(
    given: Mapping[str, Parameter], known: Mapping[str, Parameter | None], context: str
) -> dict[str, Parameter]:
    for name in given:
        if name not in known:
            raise SpaceError(
                f"{context}: expected parameters among {sorted(known)}, found {name!r}{nearest_name(name, known)}"
            )
    filled = {}
    for name, default in known.items():
        value = given.get(name, default)
        if value is None:
            raise SpaceError(f"{context}: expected the parameter {name!r}, found none")
        filled[name] = _checked(name, value, default, context)
    return filled


def _checked(name: str, value: Parameter, default: Parameter | None, context: str) -> Parameter:
    if isinstance(default, bool):
        if not isinstance(value, bool):
            raise SpaceError(f"{context}: {name}: expected true or false, found {value!r}")
        return value
    if isinstance(default, str):
        return _checked_rescale(value, context)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise SpaceError(f"{context}: {name}: expected a finite number, found {value!r}")
    if name == "density" and not 0.0 < value <= 1.0:
        raise SpaceError(f"{context}: density: expected a share in (0, 1], found {value!r}")
    return float(value)


def _checked_rescale(value: Parameter, context: str) -> str:
    if isinstance(value, bool):  # mergekit's meaning of true and false
        return "l1" if value else "none"
    if value not in RESCALES:
        raise SpaceError(f"{context}: rescale: expected true, false or one of {list(RESCALES)}, found {value!r}")
    return str(value)
