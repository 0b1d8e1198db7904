"""What a model costs, beside what it is good at: kinds of costs, their units, and how they are shown.

Inside, every objective is maximised, so that a cost is a negative number; people are shown what it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, TypeAlias

Cost: TypeAlias = Literal["tokens"]


@dataclass(frozen=True)
class CostKind:
    """How one kind of cost is measured and shown."""

    unit: str  # what a number of it counts
    better: str  # which direction is better
    decimals: int  # of what is shown


COSTS: Mapping[Cost, CostKind] = MappingProxyType({"tokens": CostKind("tokens", "fewer is better", 1)})


def titled(name: str, cost: Cost | None) -> str:
    """Return an objective's name as a column's head: of a cost with unit and direction.

    >>> titled("length", "tokens")
    'length (tokens, fewer is better)'
    """
    return name if cost is None else f"{name} ({COSTS[cost].unit}, {COSTS[cost].better})"


def shown(value: float, cost: Cost | None, *, sign: bool = False, decimals: int = 3) -> str:
    """Return an objective's value, or with a sign a difference of it, as people are shown it.

    >>> shown(0.71234, None), shown(-41.25, "tokens"), shown(3.0, "tokens", sign=True)
    ('0.712', '41.2', '-3.0')
    """
    form = "+" if sign else ""
    if cost is None:
        return f"{value:{form}.{decimals}f}"
    return f"{natural(value, cost):{form}.{COSTS[cost].decimals}f}"


def shown_error(stderr: float, cost: Cost | None, *, decimals: int = 3) -> str:
    """Return the standard error, or another size, of an objective as people are shown it.

    >>> shown_error(0.0213, None), shown_error(2.13, "tokens")
    ('0.021', '2.1')
    """
    return f"{stderr:.{decimals if cost is None else COSTS[cost].decimals}f}"


def in_unit(value: float, cost: Cost | None, *, sign: bool = False) -> str:
    """Return what `shown` does, of a cost with its unit.

    >>> in_unit(-41.25, "tokens")
    '41.2 tokens'
    """
    unit = "" if cost is None else f" {COSTS[cost].unit}"
    return f"{shown(value, cost, sign=sign)}{unit}"


def natural(value: float, cost: Cost | None) -> float:
    """Return an objective's value as it is measured: of a cost the cost itself."""
    return value if cost is None else 0.0 - value
