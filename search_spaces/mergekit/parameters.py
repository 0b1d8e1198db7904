"""mergekit's parameter settings: scalars, gradients over depth, and filters on tensor names.

A setting is a scalar, a list of numbers (a gradient: evenly spaced over t from 0 at the first layer to 1 at the last,
linearly interpolated), or a list of {filter, value}, of which the first whose filter is a part of the tensor's name
counts. Recipes know no tensor names when they are written, so filters become `Where.contains` of a list of rules.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeGuard, TypeVar

from search_spaces.errors import SpaceError
from search_spaces.mergekit.remarks import Remarks
from search_spaces.recipes.rule import Parameter

Setting = object  # plain YAML data: a scalar, or a list of numbers or of {filter, value}
T = TypeVar("T")
_CHOICE = ("filter", "value")
# YAML 1.1 reads 1e-3 as text, and people quote numbers.
_NUMBER = re.compile(r"\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*")


@dataclass(frozen=True)
class NameFacts:
    """What is known about a tensor's name: parts that it has, and parts that it does not have."""

    has: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()


class UndecidedError(Exception):
    """A value depends on whether the name has a part that the facts do not tell about."""

    def __init__(self, part: str) -> None:
        super().__init__(part)
        self.part = part


def decision_list(decide: Callable[[NameFacts], T], facts: NameFacts = NameFacts()) -> list[tuple[tuple[str, ...], T]]:
    """Return (parts that a name must have, what holds then), to be read first match first.

    `decide` returns what holds for a name, or raises `UndecidedError` for the part that it must know of.
    """
    try:
        return [(facts.has, decide(facts))]
    except UndecidedError as undecided:
        with_part = NameFacts((*facts.has, undecided.part), facts.lacks)
        without = NameFacts(facts.has, (*facts.lacks, undecided.part))
        return [*decision_list(decide, with_part), *decision_list(decide, without)]


def read_setting(value: Setting, key: str, remarks: Remarks) -> Setting:
    """Return a setting in which numbers that are written as text are numbers; other keys of filters are remarked on."""
    if isinstance(value, list):
        return [read_setting(part, key, remarks) for part in value]
    if isinstance(value, dict) and "value" in value:
        choice = remarks.mapping(value, key, _CHOICE)
        return {**choice, "value": read_setting(choice["value"], key, remarks)}
    return float(value) if isinstance(value, str) and _NUMBER.fullmatch(value) else value


def numbers_in(setting: Setting) -> list[float]:
    """Return every number of a setting, under whatever filter."""
    if isinstance(setting, list):
        return [number for part in setting for number in numbers_in(part)]
    if isinstance(setting, dict):
        return numbers_in(setting.get("value"))
    return [setting] if _is_number(setting) else []


def value_at(setting: Setting, t: float, facts: NameFacts, key: str) -> Parameter | None:
    """Return a setting's value at depth t in [0, 1]; None if no filter matches."""
    if isinstance(setting, bool | int | float | str):
        return setting
    if isinstance(setting, list) and setting and all(_is_number(s) for s in setting):
        return _interpolated(setting, t)
    choices = [setting] if isinstance(setting, dict) else setting
    if not isinstance(choices, list) or not choices or not all(_is_choice(choice) for choice in choices):
        raise SpaceError(
            f"{key}: expected a scalar, a list of numbers or a list of {{filter, value}}, found {setting!r}"
        )
    for choice in choices:
        if _has(facts, choice.get("filter")):
            return value_at(choice["value"], t, facts, key)
    return None


def varies_over_depth(setting: Setting) -> bool:
    """Return whether a setting has a gradient anywhere."""
    if isinstance(setting, dict):
        return varies_over_depth(setting.get("value"))
    if not isinstance(setting, list):
        return False
    return (len(setting) > 1 and all(_is_number(s) for s in setting)) or any(map(varies_over_depth, setting))


def first_value(
    levels: Sequence[tuple[str, Mapping[str, Setting]]], name: str, t: float, facts: NameFacts
) -> Parameter | None:
    """Return a parameter's value from the first of (key, settings) that has one."""
    for key, settings in levels:
        if name in settings:
            value = value_at(settings[name], t, facts, f"{key}.{name}")
            if value is not None:
                return value
    return None


def _interpolated(values: Sequence[float], t: float) -> float:
    position = t * (len(values) - 1)
    left = int(position)
    right = min(left + 1, len(values) - 1)
    return float(values[left] + (position - left) * (values[right] - values[left]))


def _has(facts: NameFacts, part: str | None) -> bool:
    if part in (None, "*"):
        return True
    assert part is not None
    if any(part in known for known in facts.has):
        return True
    if any(missing in part for missing in facts.lacks):
        return False
    raise UndecidedError(part)


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_choice(value: object) -> bool:
    return isinstance(value, dict) and "value" in value and isinstance(value.get("filter"), str | None)
