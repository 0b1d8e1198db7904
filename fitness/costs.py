"""What a model costs, beside what it is good at: kinds of costs, their units, and how they are shown.

Inside, every objective is maximised, so that a cost is a negative number; people are shown what it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, TypeAlias

Cost: TypeAlias = Literal["tokens", "seconds", "depth", "parameters", "distance", "density"]


@dataclass(frozen=True)
class CostKind:
    """How one kind of cost is measured and shown."""

    unit: str  # what a number of it counts
    better: str  # which direction is better
    decimals: int  # of what is shown
    exact: bool = False  # whether it is a number of the model itself, the same on all items and without any error


COSTS: Mapping[Cost, CostKind] = MappingProxyType(
    {
        "tokens": CostKind("tokens", "fewer is better", 1),
        "seconds": CostKind("s", "less is better", 4),
        "depth": CostKind("layers", "fewer is better", 1, exact=True),
        "parameters": CostKind("million parameters", "fewer is better", 2, exact=True),
        "distance": CostKind("of the base's norm", "less is better", 4, exact=True),
        "density": CostKind("of the weights", "less is better", 4, exact=True),
    }
)


def is_exact(cost: Cost | None) -> bool:
    """Return whether an objective is a number of the model itself, without any error."""
    return cost is not None and COSTS[cost].exact


def cost_of_task(name: str) -> Cost | None:
    """Return what the items of a task cost; None where they are right or wrong.

    >>> cost_of_task("cost:depth"), cost_of_task("gsm8k:tokens"), cost_of_task("gsm8k:exact_match")
    ('depth', 'tokens', None)
    """
    first, _, last = name.rpartition(":")
    return next((cost for cost in COSTS if cost == last and is_exact(cost) == (first == "cost")), None)


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
