"""Every operator by name, and the check of a rule against what its operator knows.

To add an operator here: write its function, and one row in the catalogue of its family; the tests in
tests/search_spaces/operators/test_registry.py run on it from then on. An operator from outside is an `Operator` with a
`method`, found by `find_operator`. No torch is loaded before something is merged.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import replace
from functools import lru_cache
from importlib.metadata import entry_points
from types import MappingProxyType

from search_spaces.errors import SpaceError, did_you_mean, few_of
from search_spaces.operators.catalogue.averages import AVERAGES, SPHERICAL
from search_spaces.operators.catalogue.selections import SELECTIONS
from search_spaces.operators.catalogue.spectral import SPECTRAL
from search_spaces.operators.catalogue.statistics import STATISTICS
from search_spaces.operators.catalogue.task_vectors import TASK_VECTORS
from search_spaces.operators.operator import Operands, Operator, Recall
from search_spaces.operators.parameters import Kind
from search_spaces.recipes.rule import Input, Parameter, Rule

__all__ = [
    "OPERATORS",
    "Operands",
    "Operator",
    "Recall",
    "check_rule",
    "find_operator",
    "nearest_name",
    "operators_by_dotpath",
    "register",
]

ENTRY_POINTS = "evomerge.operators"
log = logging.getLogger(__name__)

FAMILIES: Mapping[str, tuple[Operator, ...]] = MappingProxyType(
    {
        "Averages": AVERAGES,
        "Spherical": SPHERICAL,
        "Task vectors, in a pipeline": TASK_VECTORS,
        "Task vectors, by other rules": SELECTIONS,
        "Spectral": SPECTRAL,
        "Statistics": STATISTICS,
    }
)
OPERATORS: Mapping[str, Operator] = MappingProxyType(
    {operator.name: operator for family in FAMILIES.values() for operator in family}
)


# What `register` was given; names are added, and never change what they mean.
_REGISTERED: dict[str, Operator] = {}
# Dotpaths that may be imported; None: all of them.
_ALLOWED: ContextVar[frozenset[str] | None] = ContextVar("allowed", default=None)


def register(operator: Operator) -> Operator:
    """Make an operator from outside known by its name, in this process; return it.

    Recipes travel to other processes and outlive this one: there it must be registered again. An operator that is named
    by its dotpath or an entry point (see `find_operator`) needs no registering.

    Raises:
        SpaceError: another operator has the name.
    """
    if _REGISTERED.get(operator.name, OPERATORS.get(operator.name, operator)) is not operator:
        raise SpaceError(f"operator: expected a name that no operator has, found {operator.name!r}; give it another")
    _REGISTERED[operator.name] = operator
    return operator


def find_operator(name: str) -> Operator:
    """Return an operator by the name that recipes call it.

    That is a name in `OPERATORS`, one that was registered, an entry point of the group `evomerge.operators`, or the
    dotpath `package.module:OPERATOR` of an `Operator`. The row that is returned has this very name, so that recipes
    made from it find it again.

    Raises:
        SpaceError: there is none of that name; the message suggests the nearest. Or what was found is no operator.
    """
    if name in OPERATORS:
        return OPERATORS[name]
    if name in _REGISTERED:
        return _REGISTERED[name]
    _check_allowed(name)
    return _found_outside(name)


@contextlib.contextmanager
def operators_by_dotpath(allowed: Collection[str] | None) -> Iterator[None]:
    """Let `find_operator` import these dotpaths only while the context lasts; None: every one, as without it.

    A recipe that came from elsewhere can name any module.
    """
    token = _ALLOWED.set(None if allowed is None else frozenset(allowed))
    try:
        yield
    finally:
        _ALLOWED.reset(token)


def _check_allowed(name: str) -> None:
    allowed = _ALLOWED.get()
    if allowed is not None and ":" in name and name not in allowed:
        raise SpaceError(
            f"operator: {name} names code, and this recipe may be somebody else's; "
            "look at the code; if you trust it, `evomerge verify RUN_DIR --trust-tasks` says so once for a run"
        )


@lru_cache(maxsize=256)
def _found_outside(name: str) -> Operator:
    plugged = {point.name: point for point in entry_points(group=ENTRY_POINTS)}
    path = plugged[name].value if name in plugged else name
    module, _, attribute = path.partition(":")
    if not attribute:
        known = [*OPERATORS, *_REGISTERED, *plugged]
        expected = f"one of {few_of(known, name)}, or a dotpath package.module:OPERATOR"
        raise SpaceError(f"operator: expected {expected}, found {name!r}{nearest_name(name, known)}")
    if name not in plugged:
        log.info("runs code: operator %s", name)
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise SpaceError(f"operator: expected {name!r} to name an Operator in a module, found: {error}") from error
    if not isinstance(found, Operator) or found.method is None:
        raise SpaceError(f"operator: expected {name!r} to be an Operator with a method, found {found!r}")
    return replace(found, name=name)


def check_rule(rule: Rule) -> Rule:
    """Return the rule with every default filled in and every value in the form of its kind."""
    operator = find_operator(rule.operator)
    fewest, most = operator.n_inputs
    if not fewest <= len(rule.inputs) <= (most or len(rule.inputs)):
        expected = f"exactly {fewest}" if fewest == most else f"at least {fewest}"
        raise SpaceError(f"{rule.operator}: expected {expected} inputs, found {len(rule.inputs)}")
    inputs = tuple(
        Input(i.parent, _filled(i.parameters, operator.input_parameters, f"{rule.operator}, parent {i.parent!r}"))
        for i in rule.inputs
    )
    own = _filled(rule.parameters, operator.parameters, rule.operator)
    if own.get("scope") == "global" and (own.get("centre") == "mean" or own.get("cart_rank_share", 1.0) != 1.0):
        raise SpaceError(
            f"{rule.operator}: scope: expected tensor with centre: mean or a cart_rank_share, found global; the "
            "thresholds of whole models are known of task vectors from the base only"
        )
    return Rule(rule.operator, inputs, own, rule.where)


def nearest_name(name: str, names: Iterable[str]) -> str:
    """Return " (did you mean 'x'?)" for a misspelt name, or an empty string when nothing is near."""
    hint = did_you_mean(name, names)
    return f" ({hint})" if hint else ""


def _filled(given: Mapping[str, Parameter], known: Mapping[str, Kind], context: str) -> dict[str, Parameter]:
    for name in given:
        if name not in known:
            expected = f"{context}: expected parameters among {few_of(sorted(known), name)}"
            raise SpaceError(f"{expected}, found {name!r}{nearest_name(name, known)}")
    filled = {}
    for name, kind in known.items():
        value = given.get(name, kind.default)
        if value is None:
            raise SpaceError(f"{context}: expected the parameter {name!r}, found none")
        filled[name] = kind.checked(value, f"{context}: {name}")
    return filled
