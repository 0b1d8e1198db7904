"""Response matrices in files: what users bring, and the rows of our own as they come.

A file is Parquet, CSV or JSON, in one of two forms. Wide: a column `model`, and one column per item, named by its id
`task/item`; empty where a model was not scored. Long: columns `model`, `item` and `score`. JSON is
{"model": {"item": score}}. A directory holds any number of Parquet files of the long form.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from evomerge.content import content_of
from evomerge.errors import require
from fitness.errors import FitnessError
from fitness.reduction.response_matrix import ResponseMatrix
from fitness.scores import ItemScores


class _Pairs(list[tuple[str, Any]]):
    """What an object of JSON holds; a key may stand there twice."""


LONG = ("model", "item", "score")


@dataclass(frozen=True)
class KeptRow:
    """One model's row."""

    number: int
    model: str
    recipe: str  # its digest
    content: str  # digest of what the items ask
    scores: ItemScores


def read_matrix(path: Path) -> ResponseMatrix:
    """Read a response matrix."""
    if not path.exists():
        raise FitnessError(f"{path}: expected a response matrix (Parquet, CSV or JSON), found nothing")
    try:
        return _assembled(_once(_cells(path), path), path)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise FitnessError(f"{path}: expected a readable response matrix, found: {error}") from error


def keep_row(directory: Path, row: KeptRow) -> None:
    """Write one row as a Parquet file of its own, whole or not at all."""
    require("datasets", "lm-eval")
    from datasets import Dataset

    n = len(row.scores.item_ids)
    columns = {
        "model": [row.model] * n,
        "item": list(row.scores.item_ids),
        "score": row.scores.values.tolist(),
        "recipe": [row.recipe] * n,
        "content": [row.content] * n,
    }
    path = directory / f"{row.number:05d}.parquet"
    unfinished = path.with_suffix(".unfinished")
    with _without_progress_bars():
        Dataset.from_dict(columns).to_parquet(str(unfinished))
    os.replace(unfinished, path)


def kept_rows(directory: Path) -> dict[int, KeptRow]:
    """Return the rows that `keep_row` wrote, by number."""
    paths = sorted(path for path in directory.glob("*.parquet") if path.stem.isdecimal())
    if not paths:
        return {}
    rows = {}
    ends = 0
    table = _parquet(paths)
    models = table["model"]
    for path in paths:
        first = ends
        while ends < len(models) and models[ends] == models[first]:
            ends += 1
        part = slice(first, ends)
        scores = ItemScores(tuple(table["item"][part]), np.array(table["score"][part], dtype=np.float64))
        rows[int(path.stem)] = KeptRow(
            int(path.stem), models[first], table["recipe"][first], table["content"][first], scores
        )
    return rows


def _once(cells: Iterable[tuple[tuple[str, str], float]], path: Path) -> dict[tuple[str, str], float]:
    """Return the cells; FitnessError where a file has two different scores of one model on one item."""
    found: dict[tuple[str, str], float] = {}
    for (model, item), value in cells:
        before = found.setdefault((model, item), value)
        if before != value and not (math.isnan(before) and math.isnan(value)):
            raise FitnessError(
                f"{path}, model {model!r}, item {item!r}: expected one score, found {before:g} and {value:g}"
            )
    return found


def _cells(path: Path) -> Iterator[tuple[tuple[str, str], float]]:
    """Yield ((model, item), score), in the file's order."""
    if path.is_dir():
        paths = sorted(path.glob("*.parquet"))
        if not paths:
            raise FitnessError(f"{path}: expected Parquet files in this directory, found none")
        yield from _from_table(_parquet(paths), path)
    elif path.suffix == ".parquet":
        yield from _from_table(_parquet([path]), path)
    elif path.suffix == ".csv":
        rows = list(csv.reader(io.StringIO(content_of(path).decode("utf-8-sig"), newline="")))
        if not rows:
            raise FitnessError(f"{path}: expected a header and rows, found an empty file")
        if bad := [i for i, row in enumerate(rows, start=1) if len(row) != len(rows[0])]:
            raise FitnessError(
                f"{path}:{bad[0]}: expected {len(rows[0])} cells as in the header, found {len(rows[bad[0] - 1])}"
            )
        if len(set(rows[0])) < len(rows[0]):
            twice = next(name for name in rows[0] if rows[0].count(name) > 1)
            raise FitnessError(f"{path}: expected each column once, found {twice!r} twice")
        columns = {name: [row[k] for row in rows[1:]] for k, name in enumerate(rows[0])}
        yield from _from_table(columns, path)
    elif path.suffix == ".json":
        yield from _from_json(path)
    else:
        raise FitnessError(f"{path}: expected a name ending in .parquet, .csv or .json, found {path.suffix!r}")


def _from_table(columns: Mapping[str, Sequence[Any]], path: Path) -> Iterator[tuple[tuple[str, str], float]]:
    if "model" not in columns:
        found = ", ".join(list(columns)[:5])
        raise FitnessError(f"{path}: expected a column 'model' and one per item, found the columns {found}")
    models = [str(model) for model in columns["model"]]
    if set(LONG) <= columns.keys():
        for model, item, value in zip(models, columns["item"], columns["score"], strict=True):
            yield (model, str(item)), _number(value, path, model, str(item))
        return
    if len(set(models)) < len(models):
        twice = next(model for model in models if models.count(model) > 1)
        raise FitnessError(f"{path}: expected each model in one row, found {twice!r} twice")
    for item, values in columns.items():
        if item != "model":
            for model, value in zip(models, values, strict=True):
                yield (model, item), _number(value, path, model, item)


def _from_json(path: Path) -> Iterator[tuple[tuple[str, str], float]]:
    expected = '{"model": {"task/item": score}}'
    try:
        data = json.loads(content_of(path).decode("utf-8-sig"), object_pairs_hook=_Pairs)
    except (ValueError, RecursionError) as error:
        raise FitnessError(f"{path}: expected {expected}, found broken JSON: {error}") from error
    if not isinstance(data, _Pairs) or not all(isinstance(row, _Pairs) for _, row in data):
        raise FitnessError(f"{path}: expected {expected}, found another form of JSON")
    for model, row in data:
        for item, value in row:
            yield (model, item), _number(value, path, model, item)


def _number(value: object, path: Path, model: str, item: str) -> float:
    """Return a score; NaN where there is none."""
    if value is None or value == "":
        return math.nan
    try:
        if isinstance(value, int | float | str):
            return float(value)
    except (ValueError, OverflowError):
        pass
    raise FitnessError(f"{path}, model {model!r}, item {item!r}: expected a number, found {str(value)[:60]!r}")


def _assembled(cells: Mapping[tuple[str, str], float], path: Path) -> ResponseMatrix:
    models = {model: i for i, model in enumerate(dict.fromkeys(model for model, _ in cells))}
    items = {item: i for i, item in enumerate(dict.fromkeys(item for _, item in cells))}
    if not models or not items:
        raise FitnessError(f"{path}: expected models and items, found {len(models)} and {len(items)}")
    scores = np.full((len(models), len(items)), np.nan)
    for (model, item), value in cells.items():
        scores[models[model], items[item]] = value
    scores[np.isinf(scores)] = np.nan
    return ResponseMatrix(tuple(models), tuple(items), scores)


def _parquet(paths: Sequence[Path]) -> dict[str, list[Any]]:
    require("datasets", "lm-eval")
    from datasets import Dataset

    # The library copies what it reads into a cache, which nobody would ever use again.
    with TemporaryDirectory() as cache, _without_progress_bars():
        try:
            found = Dataset.from_parquet([str(path) for path in paths], cache_dir=cache, keep_in_memory=True)
            return dict(found.to_dict())
        except Exception as error:  # pyarrow's and the library's own, whatever is wrong with the bytes
            cause = error.__cause__ or error
            raise FitnessError(f"{paths[0]}: expected Parquet, found something else ({cause})") from error


@contextlib.contextmanager
def _without_progress_bars() -> Iterator[None]:
    """Keep the library's progress bars from covering our own."""
    import datasets

    were_shown = not datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        if were_shown:
            datasets.enable_progress_bars()
