"""The kinds of parameters that operators have: what is legal, what is the default, and how a search may vary it.

No torch here: campaign files are checked against these kinds before anything is loaded.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from search_spaces.errors import SpaceError
from search_spaces.operators.scales import Integers, Linear, Log, Options, Quantised, Scale
from search_spaces.recipes.rule import Parameter

Bounds: TypeAlias = tuple[float, float]
Choices: TypeAlias = tuple[Parameter, ...]
Key: TypeAlias = tuple[str, str | None]  # a parameter's name, and its parent or None for the operator's own
Gene: TypeAlias = Parameter | Bounds | Choices  # a value freezes it; bounds or a list of choices make it searched


@dataclass(frozen=True, kw_only=True)
class Real:
    """A finite real number.

    Attributes:
        meaning: one line for the operator's card.
        default: None means that a rule must give it.
        low, high: the legal range; `open_low` excludes `low` itself.
        gene: bounds that suit a search; None for numbers that no search should vary.
        scale: how a gene runs through its bounds; quantised means multiples of 1/256.
        searched: whether a campaign that does not name it searches it.
        whole_model: whether one value holds for the whole model, whatever the groups.
        in_mergekit: whether mergekit's method of the same name has it.
    """

    meaning: str
    default: float | None = None
    low: float = -math.inf
    high: float = math.inf
    open_low: bool = False
    gene: Bounds | None = None
    scale: str = "linear"
    searched: bool = False
    whole_model: bool = False
    in_mergekit: bool = True

    def __str__(self) -> str:
        if math.isinf(self.low) and math.isinf(self.high):
            return "a finite number"
        if math.isinf(self.high):
            return f"a number {'above' if self.open_low else 'of at least'} {self.low:g}"
        if (self.low, self.high, self.open_low) == (0.0, 1.0, True):
            return "a share in (0, 1]"
        return f"a number in {'(' if self.open_low else '['}{self.low:g}, {self.high:g}]"

    def checked(self, value: Parameter, key: str) -> Parameter:
        """Return a legal value as float; raise a `SpaceError` that begins with the key for another."""
        if isinstance(value, bool) or not isinstance(value, int | float) or not self._holds(float(value)):
            raise SpaceError(f"{key}: expected {self}, found {value!r}")
        return float(value)

    def scale_of(self, gene: Bounds | Choices, key: str) -> Scale:
        """Return the scale of a gene between two legal bounds; raise a `SpaceError` for others."""
        low, high = (float(self.checked(end, key)) for end in _two(gene, key))
        scales: Mapping[str, Callable[[float, float], Scale]] = {"linear": Linear, "log": Log, "quantised": Quantised}
        try:
            return scales[self.scale](low, high)
        except SpaceError as error:
            raise SpaceError(f"{key}: {error}") from error

    def _holds(self, value: float) -> bool:
        return math.isfinite(value) and self.low <= value <= self.high and not (self.open_low and value == self.low)


@dataclass(frozen=True, kw_only=True)
class Whole:
    """A whole number; attributes as in `Real`, `high` None for any."""

    meaning: str
    default: int | None = None
    low: int = 0
    high: int | None = None
    gene: Bounds | None = None
    searched: bool = False
    whole_model: bool = False
    in_mergekit: bool = True

    def __str__(self) -> str:
        return f"a whole number {f'of at least {self.low}' if self.high is None else f'in [{self.low}, {self.high}]'}"

    def checked(self, value: Parameter, key: str) -> Parameter:
        """Return a legal value as int; see `Real.checked`."""
        if isinstance(value, bool | str) or not float(value).is_integer() or not self._holds(int(value)):
            raise SpaceError(f"{key}: expected {self}, found {value!r}")
        return int(value)

    def scale_of(self, gene: Bounds | Choices, key: str) -> Scale:
        """Return the scale of a gene between two legal bounds; see `Real.scale_of`."""
        low, high = (int(self.checked(end, key)) for end in _two(gene, key))
        if low >= high:
            raise SpaceError(f"{key}: expected low < high, found [{low}, {high}]")
        return Integers(low, high)

    def _holds(self, value: int) -> bool:
        return self.low <= value and (self.high is None or value <= self.high)


@dataclass(frozen=True, kw_only=True)
class Flag:
    """True or false; attributes as in `Real`."""

    meaning: str
    default: bool
    searched: bool = False
    whole_model: bool = False
    in_mergekit: bool = True

    gene: Choices = (False, True)

    def __str__(self) -> str:
        return "true or false"

    def checked(self, value: Parameter, key: str) -> Parameter:
        """Return a truth value; see `Real.checked`."""
        if not isinstance(value, bool):
            raise SpaceError(f"{key}: expected {self}, found {value!r}")
        return value

    def scale_of(self, gene: Bounds | Choices, key: str) -> Scale:
        """Return the scale of a gene over both values; see `Real.scale_of`."""
        return _options(gene, key, self.checked)


@dataclass(frozen=True, kw_only=True)
class OneOf:
    """One of some words; attributes as in `Real`.

    Attributes:
        also: other values that stand for a word, e.g. mergekit's truth values.
    """

    meaning: str
    default: str
    choices: tuple[str, ...]
    also: Mapping[Parameter, str] = field(default_factory=dict)
    searched: bool = False
    whole_model: bool = False
    in_mergekit: bool = True

    @property
    def gene(self) -> Choices:
        """Every word."""
        return self.choices

    def __str__(self) -> str:
        also = "".join(f"{str(value).lower()}, " for value in self.also).removesuffix(", ")
        return f"{also} or one of {list(self.choices)}" if also else f"one of {list(self.choices)}"

    def checked(self, value: Parameter, key: str) -> Parameter:
        """Return one of the words; see `Real.checked`."""
        if isinstance(value, bool | str) and value in self.also:
            return self.also[value]
        if value not in self.choices:
            raise SpaceError(f"{key}: expected {self}, found {value!r}")
        return value

    def scale_of(self, gene: Bounds | Choices, key: str) -> Scale:
        """Return the scale of a gene over some of the words; see `Real.scale_of`."""
        return _options(gene, key, self.checked)


Kind: TypeAlias = Real | Whole | Flag | OneOf


def _two(gene: Bounds | Choices, key: str) -> tuple[Parameter, Parameter]:
    if len(gene) != 2:
        raise SpaceError(f"{key}: expected [low, high] or a number, found {list(gene)}")
    return gene[0], gene[1]


def _options(gene: Bounds | Choices, key: str, checked: Callable[[Parameter, str], Parameter]) -> Scale:
    options = tuple(checked(choice, key) for choice in gene)
    if len(options) < 2 or len(set(options)) < len(options):
        raise SpaceError(f"{key}: expected two or more different choices, found {list(gene)}")
    return Options(options)
