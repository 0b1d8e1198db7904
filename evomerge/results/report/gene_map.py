"""A recipe's parameters over depth: for each parameter, parents and modules down, layers across."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from search_spaces.recipes.groups import Place, covers
from search_spaces.recipes.recipe import ModuleKind, Parameter, Recipe, Rule

_KINDS: tuple[ModuleKind, ...] = get_args(ModuleKind)
_ORDER = {"weight": 0, "density": 1}


@dataclass(frozen=True)
class Column:
    """A run of layers with the same rules, or what lies before or after the layers.

    Attributes:
        label: what the axis calls it.
        layers: half-open range, what the column is wide in proportion to; None outside the layers.
        place: a place that stands for all of the column; its module is set by the row.
    """

    label: str
    layers: tuple[int, int] | None
    place: Place


@dataclass(frozen=True, eq=False)
class GeneMap:
    """One parameter of one recipe.

    Attributes:
        rows: (n_rows,) `parent · module`, or the module alone for a parameter of the operator.
        columns: (n_columns,) in order of depth.
        values: (n_rows, n_columns), NaN where the recipe has no such number.
        operators: (n_rows, n_columns) names, empty where no rule applies.
        axis: what columns are parts of.
    """

    parameter: str
    rows: tuple[str, ...]
    columns: tuple[Column, ...]
    values: NDArray[np.float64]
    operators: NDArray[np.str_]
    axis: str = "layer"


def depth(recipes: Sequence[Recipe]) -> int:
    """Return the number of layers that the recipes' rules speak of; 0 when none speaks of layers."""
    last = [rule.where.layers[1] for recipe in recipes for rule in recipe.rules if rule.where.layers]
    return max([*last, *(len(recipe.layers) for recipe in recipes if recipe.layers)], default=0)


def gene_maps(recipe: Recipe, n_layers: int) -> list[GeneMap]:
    """Return one map per numeric parameter, weight and density first; rules by part of a name are left out."""
    rules = [rule for rule in recipe.rules if rule.where.contains is None]
    columns = _columns(rules, n_layers)
    kinds = _KINDS if any(rule.where.module for rule in rules) else (None,)
    cells: dict[str, dict[str, list[tuple[float, str]]]] = {}
    for kind, (at, column) in itertools.product(kinds, enumerate(columns)):
        rule = _rule_at(rules, column, kind)
        for parameter, parent, value in _numbers(rule) if rule else ():
            row = " · ".join(part for part in (parent, kind) if part) or "all"
            line = cells.setdefault(parameter, {}).setdefault(row, [(np.nan, "")] * len(columns))
            line[at] = (value, rule.operator if rule else "")
    maps = [_map(parameter, rows, columns) for parameter, rows in cells.items()]
    return sorted(maps, key=lambda m: (_ORDER.get(m.parameter, 2), m.parameter))


def _map(parameter: str, rows: Mapping[str, list[tuple[float, str]]], columns: tuple[Column, ...]) -> GeneMap:
    used = [at for at in range(len(columns)) if any(np.isfinite(line[at][0]) for line in rows.values())]
    values = np.array([[line[at][0] for at in used] for line in rows.values()])
    operators = np.array([[line[at][1] for at in used] for line in rows.values()])
    return GeneMap(parameter, tuple(rows), tuple(columns[at] for at in used), values, operators)


def _columns(rules: Sequence[Rule], n_layers: int) -> tuple[Column, ...]:
    cuts = {edge for rule in rules for edge in rule.where.layers or () if edge <= n_layers}
    edges = sorted(cuts | {0, n_layers})
    runs = [
        Column(str(a) if b == a + 1 else f"{a}–{b - 1}", (a, b), Place(a, "other"))
        for a, b in itertools.pairwise(edges)
    ]
    if any(rule.where.side for rule in rules):
        before = Column("embeddings", None, Place(None, "other", "before"))
        return (before, *runs, Column("head", None, Place(None, "other", "after")))
    outside = Column("other" if runs else "all layers", None, Place(None, "other", "after"))
    return (*runs, outside)


def _rule_at(rules: Sequence[Rule], column: Column, kind: ModuleKind | None) -> Rule | None:
    """Return the first rule that makes a module's tensors in a column, as `Recipe` defines it."""
    if column.layers is None and kind not in (None, "other"):
        return None  # attention and mlp exist inside layers only
    place = Place(column.place.layer, kind or "other", column.place.side)
    return next((rule for rule in rules if covers(rule.where, place)), None)


def _numbers(rule: Rule) -> Iterator[tuple[str, str, float]]:
    """Yield (parameter, parent or "", value) of every number in a rule."""
    for source in rule.inputs:
        yield from ((name, source.parent, float(v)) for name, v in source.parameters.items() if _is_number(v))
    yield from ((name, "", float(v)) for name, v in rule.parameters.items() if _is_number(v))


def _is_number(value: Parameter) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
