"""Paired differences. (placeholder of the lead so that others can import Difference; the fitness helper replaces it)"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Difference:
    """A difference of two means with its 95 % confidence interval."""

    value: float
    low: float
    high: float
    stderr: float
