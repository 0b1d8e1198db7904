"""One line of the preflight's table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warning", "error"]


@dataclass(frozen=True)
class Row:
    """One property of all parents.

    Attributes:
        property: its name.
        values: parent -> what was found there, for display.
        level: whether the parents can be merged in spite of their differences.
        note: what differs and what to do; empty when nothing does.
    """

    property: str
    values: Mapping[str, str]
    level: Level = "ok"
    note: str = ""


def same_as_base(label: str, values: Mapping[str, str], base: str, *, otherwise: Level, advice: str) -> Row:
    """Return a row that is ok where every parent has the base's value.

    Args:
        label: the property.
        values: parent -> value.
        base: the parent that the others are compared with.
        otherwise: the level of a difference.
        advice: what a difference means.
    """
    different = [parent for parent, value in values.items() if value != values[base]]
    if not different:
        return Row(label, values)
    found = ", ".join(f"{values[parent]} in {parent!r}" for parent in different)

    return Row(label, values, otherwise, f"expected {values[base]} as in {base!r}, found {found}; {advice}")
