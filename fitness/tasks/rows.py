"""The rows of task files: JSON lines, CSV, TSV, Parquet, and datasets that the hub or a directory holds."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from evomerge.content import content_of
from fitness.errors import FitnessError, in_brief, require, shortened
from fitness.tasks.json_lines import Fields, LineError, lines_of, object_in

Read = Callable[[], Fields]  # raises LineError where a row is none


def rows_of(place: str | Path) -> Iterator[tuple[int, Read]]:
    """Yield (line or number of a row, from 1, what reads it) of a file, by its ending.

    Raises:
        FitnessError: the file cannot be read, or what reads it is not installed.
    """
    reader = ROWS.get(Path(place).suffix, _json_rows)
    return reader(Path(place))


def dataset_rows(name: str, config: str, split: str) -> Iterator[tuple[int, Read]]:
    """Yield the rows of a dataset of the hub, or of a directory; none of its code is run."""
    require("datasets", "lm-eval")
    from datasets import disable_progress_bars, load_dataset

    disable_progress_bars()
    try:
        rows = load_dataset(name, config or None, split=split or "test")
    except Exception as error:  # whatever a hub, a file or a builder says
        raise FitnessError(
            f"task 'hf:{name}': expected a dataset with the split {split or 'test'!r}, found: {in_brief(error)}"
        ) from error
    for number, row in enumerate(rows, start=1):
        yield number, _read(_plain(row))


def _json_rows(path: Path) -> Iterator[tuple[int, Read]]:
    for number, text in lines_of(path):
        yield number, _json_reader(text)


def _json_reader(text: bytes) -> Read:
    return lambda: object_in(text)


def _comma_rows(path: Path) -> Iterator[tuple[int, Read]]:
    return _table_rows(path, ",")


def _tab_rows(path: Path) -> Iterator[tuple[int, Read]]:
    return _table_rows(path, "\t")


def _table_rows(path: Path, delimiter: str) -> Iterator[tuple[int, Read]]:
    """Yield the rows below a table's header; empty cells are left out."""
    try:
        text = content_of(path).decode("utf-8-sig")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise FitnessError(f"{shortened(str(path))}: expected a readable table of UTF-8, found: {reason}") from error
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        header = next(reader, [])
        if len(set(header)) < len(header):
            twice = next(name for name in header if header.count(name) > 1)
            raise FitnessError(f"{path}:1: expected columns with different names, found {twice!r} twice")
        for cells in reader:
            if cells:
                yield reader.line_num, _cells_reader(header, cells)
    except csv.Error as error:
        raise FitnessError(f"{path}:{reader.line_num}: expected a table, found: {error}") from error


def _cells_reader(header: list[str], cells: list[str]) -> Read:
    def read() -> Fields:
        if len(cells) != len(header):
            raise LineError(f"expected {len(header)} cells, as the header has, found {len(cells)}")
        return {name: cell for name, cell in zip(header, cells, strict=True) if cell}

    return read


def _parquet_rows(path: Path) -> Iterator[tuple[int, Read]]:
    require("pyarrow", "lm-eval")
    from pyarrow import ArrowException, parquet

    try:
        table = parquet.read_table(path)
    except (OSError, ArrowException) as error:
        raise FitnessError(f"{shortened(str(path))}: expected a Parquet file, found: {in_brief(error)}") from error
    for number, row in enumerate(table.to_pylist(), start=1):
        yield number, _read(_plain(row))


def _plain(row: Mapping[str, Any]) -> Fields:
    return {str(key): value for key, value in row.items() if value is not None}


def _read(fields: Fields) -> Read:
    return lambda: fields


ROWS: Mapping[str, Callable[[Path], Iterator[tuple[int, Read]]]] = {
    ".jsonl": _json_rows,
    ".csv": _comma_rows,
    ".tsv": _tab_rows,
    ".parquet": _parquet_rows,
}
