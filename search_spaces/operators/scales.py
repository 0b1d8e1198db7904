"""One gene, one value: monotone maps from [0, 1] to a parameter's values and back.

Every scale has finitely many values, written with few digits, so that recipes are short and the way back is exact:
`value(gene(v)) == v` for every v that `value` yields, whatever float64 does in between.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from search_spaces.errors import SpaceError
from search_spaces.recipes.rule import Parameter

# Relative step of continuous scales: finer than any merge can feel, coarse beside float64's 1e-16.
STEP = 1e-6


class Scale(Protocol):
    """A monotone map between [0, 1] and a parameter's finitely many values."""

    def value(self, gene: float) -> Parameter:
        """Return the value of a gene; beyond [0, 1] the nearest end, NaN counts as the middle."""
        ...

    def gene(self, value: Parameter) -> float:
        """Return a gene in [0, 1] of a value; of one that `value` never yields, the nearest."""
        ...


@dataclass(frozen=True)
class Linear:
    """Values from low to high in equal steps, on the decimal grid next below a millionth of the range."""

    low: float
    high: float

    def __post_init__(self) -> None:
        _check_bounds(self.low, self.high)

    def value(self, gene: float) -> float:
        """Return low + gene·(high - low), rounded to the grid and kept within the bounds."""
        exact = self.low + clipped(gene) * (self.high - self.low)
        return min(max(round(exact, self._decimals), self.low), self.high) + 0.0  # -0.0 becomes 0.0: one digest

    def gene(self, value: Parameter) -> float:
        """Return the share of the range that lies below the value."""
        return clipped((float(value) - self.low) / (self.high - self.low))

    @cached_property
    def _decimals(self) -> int:
        return math.ceil(-math.log10((self.high - self.low) * STEP))


@dataclass(frozen=True)
class Log:
    """Values from low to high in equal ratios, rounded to seven significant digits; low must be positive."""

    low: float
    high: float

    def __post_init__(self) -> None:
        _check_bounds(self.low, self.high)
        if self.low <= 0.0:
            raise SpaceError(f"bounds: expected a positive lower bound for a logarithmic scale, found {self.low!r}")

    def value(self, gene: float) -> float:
        """Return low·(high/low)^gene, rounded and kept within the bounds."""
        exact = self.low * math.exp(clipped(gene) * math.log(self.high / self.low))
        return min(max(float(f"{exact:.6e}"), self.low), self.high)

    def gene(self, value: Parameter) -> float:
        """Return log(value/low) / log(high/low)."""
        ratio = float(value) / self.low
        return clipped(math.log(ratio) / math.log(self.high / self.low)) if ratio > 1.0 else 0.0


@dataclass(frozen=True)
class Choice:
    """The values 0, 1, ..., n - 1, each with an equal share of the gene; the way back is the middle of the share."""

    n: int

    def value(self, gene: float) -> int:
        """Return ⌊gene·n⌋, and n - 1 at gene 1."""
        return min(int(clipped(gene) * self.n), self.n - 1)

    def gene(self, value: Parameter) -> float:
        """Return the middle of the value's share."""
        return (min(max(round(float(value)), 0), self.n - 1) + 0.5) / self.n


@dataclass(frozen=True)
class Integers:
    """The whole numbers from low to high, both included, each with an equal share of the gene."""

    low: int
    high: int

    def value(self, gene: float) -> int:
        """Return a whole number."""
        return self.low + self._choice.value(gene)

    def gene(self, value: Parameter) -> float:
        """Return the middle of the value's share."""
        return self._choice.gene(float(value) - self.low)

    @property
    def _choice(self) -> Choice:
        return Choice(self.high - self.low + 1)


@dataclass(frozen=True)
class Options:
    """Values without an order, such as words, each with an equal share of the gene."""

    options: tuple[Parameter, ...]

    def value(self, gene: float) -> Parameter:
        """Return one of the options."""
        return self.options[Choice(len(self.options)).value(gene)]

    def gene(self, value: Parameter) -> float:
        """Return the middle of the value's share; the middle of all for a value that is no option."""
        return Choice(len(self.options)).gene(self.options.index(value)) if value in self.options else 0.5


@dataclass(frozen=True)
class Quantised:
    """The multiples of 1/steps between two bounds, each with an equal share of the gene.

    Densities use it, so that the thresholds of magnitude trimming can be kept between candidates.
    """

    low: float
    high: float
    steps: int = 256

    def __post_init__(self) -> None:
        _check_bounds(self.low, self.high)
        if self._last < self._first:
            raise SpaceError(
                f"bounds: expected a multiple of 1/{self.steps} within them, found none in [{self.low}, {self.high}]; "
                "widen them, or give one number"
            )

    @property
    def _first(self) -> int:
        return math.ceil(self.low * self.steps)

    @property
    def _last(self) -> int:
        return math.floor(self.high * self.steps)

    def value(self, gene: float) -> float:
        """Return a multiple of 1/steps."""
        return (self._first + Choice(self._last - self._first + 1).value(gene)) / self.steps

    def gene(self, value: Parameter) -> float:
        """Return the middle of the value's share."""
        return Choice(self._last - self._first + 1).gene(float(value) * self.steps - self._first)


def clipped(gene: float) -> float:
    """Return a gene kept within [0, 1]; NaN counts as the middle."""
    return 0.5 if math.isnan(gene) else min(max(float(gene), 0.0), 1.0)


def _check_bounds(low: float, high: float) -> None:
    if not (math.isfinite(high - low) and low < high):
        raise SpaceError(f"bounds: expected two finite numbers, low < high, found [{low}, {high}]")
    if high - low < STEP * max(abs(low), abs(high)):
        raise SpaceError(f"bounds: expected a range wider than a millionth of its ends, found [{low}, {high}]")
    if (high - low) * STEP < sys.float_info.min:
        raise SpaceError(f"bounds: expected a range that float64 can divide into steps, found [{low}, {high}]")
