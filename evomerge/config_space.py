"""Operators and genes as a campaign file names them.

The tables repeat what `search_spaces.operators.registry` knows, because that room needs torch and a file must be
checked without it; a test holds them equal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, TypeAlias, get_args

from pydantic import BeforeValidator, Field
from pydantic_core import InitErrorDetails

from evomerge.config_errors import did_you_mean, in_words, mismatch, refuse

OperatorName = Literal["linear", "slerp", "task_arithmetic", "ties", "dare_linear", "dare_ties"]
Gene: TypeAlias = float | tuple[float, float]


@dataclass(frozen=True)
class GeneRange:
    """What a gene may be.

    Attributes:
        low: least legal value.
        high: greatest legal value.
        open_low: whether `low` itself is illegal.
        default: bounds, or the number it is frozen at, when the file does not name it.
    """

    low: float
    high: float
    default: Gene
    open_low: bool = False

    def __str__(self) -> str:
        if self.low == -float("inf"):
            return "finite numbers"
        return f"numbers in {'(' if self.open_low else '['}{self.low:g}, {self.high:g}]"

    def holds(self, value: float) -> bool:
        """Return whether a value is legal."""
        return (
            self.low <= value <= self.high and abs(value) != float("inf") and not (self.open_low and value == self.low)
        )


_ANY = float("inf")
GENES: Mapping[str, GeneRange] = {
    "weight": GeneRange(-_ANY, _ANY, default=(0.0, 1.5)),
    "density": GeneRange(0.0, 1.0, default=(0.2, 1.0), open_low=True),
    "lambda": GeneRange(-_ANY, _ANY, default=1.0),
    "t": GeneRange(0.0, 1.0, default=(0.0, 1.0)),
}
OPERATOR_GENES: Mapping[OperatorName, tuple[str, ...]] = {
    "linear": ("weight",),
    "slerp": ("t",),
    "task_arithmetic": ("weight", "lambda"),
    "ties": ("weight", "density", "lambda"),
    "dare_linear": ("weight", "density", "lambda"),
    "dare_ties": ("weight", "density", "lambda"),
}
OPERATORS: tuple[OperatorName, ...] = get_args(OperatorName)
NEEDS_BASE: frozenset[OperatorName] = frozenset(OPERATORS) - {"linear", "slerp"}


def _as_tuple(value: object) -> object:
    return (value,) if isinstance(value, str) else value


def _as_gene(value: object) -> Gene:
    if _is_number(value):
        return float(value)  # type: ignore[arg-type]
    if isinstance(value, (list, tuple)) and len(value) == 2 and all(map(_is_number, value)):
        return float(value[0]), float(value[1])
    refuse([mismatch("bounds [low, high], or a number that freezes the gene", in_words(value))])


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


OperatorNames: TypeAlias = Annotated[
    tuple[OperatorName, ...],
    BeforeValidator(_as_tuple, json_schema_input_type=OperatorName | tuple[OperatorName, ...]),
    Field(min_length=1),
]
Genes: TypeAlias = dict[str, Annotated[Gene, BeforeValidator(_as_gene, json_schema_input_type=Gene)]]


def checked_genes(genes: Mapping[str, Gene], operators: tuple[OperatorName, ...]) -> dict[str, Gene]:
    """Return every gene of the operators, those that the file leaves out at their defaults.

    Raises:
        ValidationError: a gene that no operator has, illegal bounds, or nothing left to search.
    """
    used = [name for name in GENES if any(name in OPERATOR_GENES[operator] for operator in operators)]
    problems = [problem for name, gene in genes.items() for problem in _gene_problems(name, gene, used)]
    full = {name: genes.get(name, GENES[name].default) for name in used}
    if not problems and len(operators) == 1 and not any(isinstance(gene, tuple) for gene in full.values()):
        problems.append(mismatch("bounds for at least one gene", "all frozen", "nothing would be left to search"))
    if problems:
        refuse(problems)
    return full


def _gene_problems(name: str, gene: Gene, used: list[str]) -> list[InitErrorDetails]:
    if name not in GENES:
        return [mismatch(f"one of {', '.join(used)}", f"'{name}'", did_you_mean(name, GENES), at=[name])]
    if name not in used:
        return [mismatch(f"one of {', '.join(used)}", f"'{name}'", "the operator has no such gene", at=[name])]
    values = gene if isinstance(gene, tuple) else (gene,)
    if not all(map(GENES[name].holds, values)):
        return [mismatch(str(GENES[name]), in_words(gene), at=[name])]
    if isinstance(gene, tuple) and gene[0] >= gene[1]:
        hint = "a number alone freezes the gene" if gene[0] == gene[1] else f"write [{gene[1]}, {gene[0]}]"
        return [mismatch("low < high", in_words(gene), hint, at=[name])]
    return []
