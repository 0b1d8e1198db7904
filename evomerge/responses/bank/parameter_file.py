"""Item parameters as R's mirt gives them: a CSV with columns a1 (a2, ...), d, g and u, as ATLAS publishes them."""

from __future__ import annotations

import csv
import io
import math
import re
from pathlib import Path

import numpy as np

from evomerge.content import content_of
from evomerge.responses.bank.bank import ItemKey
from fitness.errors import FitnessError
from fitness.estimation.response_model import ItemParameters
from fitness.reduction.linking import from_mirt

MOST_BYTES = 2**28
LARGEST = 50.0  # of a slope or an intercept: beyond it an item tells nothing but a constant
_SLOPE = re.compile(r"a[1-9]\d?")


def is_parameter_file(header: list[str]) -> bool:
    """Return whether a CSV's first line is one of item parameters."""
    return "d" in header and any(_SLOPE.fullmatch(name) for name in header)


def read_rows(path: Path) -> list[list[str]]:
    """Return the rows of a CSV, all as long as the first."""
    try:
        text = content_of(path, MOST_BYTES).decode("utf-8-sig")
        rows = [row for row in csv.reader(io.StringIO(text, newline="")) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise FitnessError(f"{path}: expected a readable CSV, found: {error}") from error
    if len(rows) < 2:
        raise FitnessError(f"{path}: expected a header and rows, found {len(rows)} lines")
    if bad := [i for i, row in enumerate(rows, start=1) if len(row) != len(rows[0])]:
        raise FitnessError(f"{path}:{bad[0]}: expected {len(rows[0])} cells as in the header, found another number")
    return rows


def read_parameters(path: Path, rows: list[list[str]]) -> tuple[tuple[ItemKey, ...], ItemParameters]:
    """Return the items' names, which stand in the first column, and their parameters; g left out is 0, u is 1."""
    header = rows[0]
    if len(set(header)) < len(header):
        raise FitnessError(f"{path}: expected each column once, found {', '.join(header)}")
    slopes = [name for name in header if _SLOPE.fullmatch(name)]
    names = [row[0] for row in rows[1:]]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise FitnessError(f"{path}: expected each item once, found {twice[:60]!r} twice")
    a = np.column_stack([_column(path, rows, name, -LARGEST, LARGEST) for name in slopes])
    d = _column(path, rows, "d", -LARGEST, LARGEST)
    g = _column(path, rows, "g", 0.0, 0.999) if "g" in header else np.zeros(len(names))
    u = _column(path, rows, "u", 0.001, 1.0) if "u" in header else np.ones(len(names))
    if (wrong := np.flatnonzero(g >= u)).size:
        name = names[int(wrong[0])]
        raise FitnessError(f"{path}, item {name[:60]!r}: expected g below u, found {g[wrong[0]]:g} and {u[wrong[0]]:g}")
    return tuple(ItemKey(name) for name in names), from_mirt(a, d, g, u)


def _column(path: Path, rows: list[list[str]], name: str, low: float, high: float) -> np.ndarray:
    place, found = rows[0].index(name), []
    for row in rows[1:]:
        try:
            value = float(row[place]) if len(row[place]) < 100 else math.nan
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            raise FitnessError(
                f"{path}, item {row[0][:60]!r}: expected {name} from {low:g} to {high:g}, found {row[place][:40]!r}"
            )
        found.append(value)
    return np.array(found)
