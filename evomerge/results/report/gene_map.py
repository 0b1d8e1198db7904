"""A recipe as heat maps: rules' parameters over depth, the path through its layers, or coefficients piece by piece."""

from __future__ import annotations

import html
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from evomerge.fields import is_number
from evomerge.results.report.labels import shortened_row
from evomerge.results.report.marks import Figure, layout
from search_spaces.recipes.groups import Place, covers
from search_spaces.recipes.layer_path import Step, steps_of
from search_spaces.recipes.recipe import Recipe
from search_spaces.recipes.rule import ModuleKind, Rule

_KINDS: tuple[ModuleKind, ...] = get_args(ModuleKind)
SOURCE_LAYER = "source layer"
INPUT_SCALE = "input scale"
COEFFICIENT = "coefficient"
AXIS = "share of the parameters, in their order"
_ORDER = {"weight": 0, "density": 1}


@dataclass(frozen=True)
class Column:
    """A run of layers with the same rules, or what lies before or after the layers."""

    label: str  # what the axis calls it
    layers: tuple[int, int] | None  # half-open range, what the column is wide in proportion to; None outside the layers
    place: Place  # a place that stands for all of the column; its module is set by the row


@dataclass(frozen=True, eq=False)
class GeneMap:
    """One parameter of one recipe."""

    parameter: str
    rows: tuple[str, ...]  # (n_rows,) `parent · module`, or the module alone for a parameter of the operator
    columns: tuple[Column, ...]  # (n_columns,) in order of depth
    values: NDArray[np.float64]  # (n_rows, n_columns), NaN where the recipe has no such number
    operators: NDArray[np.str_]  # (n_rows, n_columns) names, empty where no rule applies
    axis: str = "layer"  # what columns are parts of


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


def path_maps(recipe: Recipe) -> list[GeneMap]:
    """Return which layer of which source every output layer is, and its input scale where any is not 1."""
    steps = steps_of(recipe)
    if not steps:
        return []
    maps = [_path_map(SOURCE_LAYER, steps, [float(step.layer) for step in steps])]
    if recipe.input_scales is not None:
        maps.append(_path_map(INPUT_SCALE, steps, recipe.input_scales))
    return maps


def _path_map(parameter: str, steps: Sequence[Step], numbers: Sequence[float]) -> GeneMap:
    sources = list(dict.fromkeys(step.source for step in steps))
    values = np.full((len(sources), len(steps)), np.nan)
    told = [[""] * len(steps) for _ in sources]
    for k, (step, number) in enumerate(zip(steps, numbers, strict=True)):
        row = sources.index(step.source)
        values[row, k] = number
        told[row][k] = f"layer {step.layer} of {step.source}"
    columns = tuple(Column(str(k), (k, k + 1), Place(k, "other")) for k in range(len(steps)))
    return GeneMap(parameter, tuple(sources), columns, values, np.array(told))


def piece_maps(recipe: Recipe) -> list[GeneMap]:
    """Return the parents' coefficients along the flattened parameters; none for a recipe of rules."""
    pieces = recipe.pieces
    if pieces is None:
        return []
    spans = list(itertools.pairwise(pieces.boundaries))
    percent = 100 / pieces.boundaries[-1]
    columns = tuple(
        Column(f"{a * percent:.3g}–{b * percent:.3g} %", (a, b), Place(k, "other")) for k, (a, b) in enumerate(spans)
    )
    values = np.array(pieces.coefficients, dtype=np.float64).T
    told = np.array([[f"segment {k + 1} of {len(spans)}" for k in range(len(spans))]] * len(pieces.parents))
    return [GeneMap(COEFFICIENT, tuple(pieces.parents), columns, values, told, AXIS)]


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
        yield from ((name, source.parent, float(v)) for name, v in source.parameters.items() if is_number(v))
    yield from ((name, "", float(v)) for name, v in rule.parameters.items() if is_number(v))


def gene_figure(genes: GeneMap, limits: tuple[float, float]) -> Figure:
    """Return one parameter's heat map; a narrow gap sets what lies outside the layers apart."""
    edges, cells = _tiles(genes.columns)
    values: list[list[float | None]] = [[None] * len(cells) for _ in genes.rows]
    hover: list[list[str | None]] = [[None] * len(cells) for _ in genes.rows]
    for at, k in ((at, k) for at, k in enumerate(cells) if k is not None):
        for r in range(len(genes.rows)):
            if np.isfinite(genes.values[r, k]):
                values[r][at] = float(f"{genes.values[r, k]:.4g}")
                hover[r][at] = f"{_where(genes.columns[k], genes.axis)}<br>{html.escape(str(genes.operators[r, k]))}"
    high = limits[1] if limits[1] > limits[0] else limits[0] + 1
    trace = {
        "type": "heatmap",
        "x": edges,
        "y": [html.escape(shortened_row(row)) for row in genes.rows],
        "z": values,
        "customdata": hover,
        "zmin": limits[0],
        "zmax": high,
        "colorscale": [[0, "var(--low)"], [0.5, "var(--middle)"], [1, "var(--high)"]],
        "colorbar": {"thickness": 9, "outlinewidth": 0, "tickfont": {"size": 11}, "xpad": 6} | _ticks(limits[0], high),
        "xgap": 1.5,
        "ygap": 1.5,
        "hoverongaps": False,
        "hovertemplate": "<b>%{z}</b>  %{y}<br>%{customdata}<extra></extra>",
    }
    frame = layout(66 + 26 * len(genes.rows), genes.axis if any(c.layers for c in genes.columns) else None, None)
    frame["minreducedheight"] = 26  # plotly would rather draw axis titles over the ticks
    frame["xaxis"] |= {
        **_column_ticks(genes, edges, cells),
        "autotickangles": [0, 90],
        "showgrid": False,
        "zeroline": False,
    }
    frame["yaxis"] |= {"autorange": "reversed", "showgrid": False, "ticklabelstandoff": 6}
    return {"name": genes.parameter, "data": [trace], "layout": frame}


def _column_ticks(genes: GeneMap, edges: Sequence[float], cells: Sequence[int | None]) -> dict[str, list[Any]]:
    """Return the ticks across: at most 16 columns by name, or where they are no layers quarters of the whole."""
    if genes.axis != "layer":
        return {"tickvals": [edges[-1] * q / 4 for q in range(5)], "ticktext": [f"{25 * q} %" for q in range(5)]}
    middles = [(a + b) / 2 for (a, b), k in zip(itertools.pairwise(edges), cells, strict=True) if k is not None]
    labels = [genes.columns[k].label for k in cells if k is not None]
    every = -(-len(labels) // 16)
    return {"tickvals": middles[::every], "ticktext": labels[::every]}


def _ticks(low: float, high: float) -> dict[str, list[Any]]:
    """Return the ticks of a scale, equally wide in every figure, so that maps under each other stand in line."""
    digits = 2 - math.floor(math.log10(high - low))
    texts = [f"{round(value, digits):g}".ljust(6, "\u2007") for value in (low, high)]
    return {"tickvals": [low, high], "ticktext": texts}


def _tiles(columns: Sequence[Column]) -> tuple[list[float], list[int | None]]:
    """Return the n + 1 edges of n tiles across, and each tile's column; None is a gap."""
    depth = max((c.layers[1] for c in columns if c.layers), default=1)
    outside = max(1.0, depth / 14)
    edges: list[float] = []
    cells: list[int | None] = []
    for k, column in enumerate(columns):
        if k and (column.layers is None) != (columns[k - 1].layers is None):
            edges, cells = [*edges, edges[-1] + outside / 3], [*cells, None]
        width = column.layers[1] - column.layers[0] if column.layers else outside
        edges = [*(edges or [0.0]), (edges[-1] if edges else 0.0) + width]
        cells = [*cells, k]
    return edges, cells


def _where(column: Column, axis: str) -> str:
    if column.layers is None or axis != "layer":
        return column.label
    return f"layer{'s' if column.layers[1] > column.layers[0] + 1 else ''} {column.label}"
