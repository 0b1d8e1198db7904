"""Rows of searches: kept as they come, and read again, so that the same command goes on where it was stopped."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from experiments.surrogate_benchmark.runs import Row, Setting

Key = tuple[str, Setting, str, int, int]


def key(row: Row) -> Key:
    """Return what names a search: matrix, setting, search, seed, evaluations."""
    return (row.matrix, row.setting, row.search, row.seed, row.evaluations)


@dataclass(frozen=True)
class Kept:
    """A file of rows, one JSON object a line."""

    path: Path

    def read(self) -> dict[Key, Row]:
        """Return the rows; a line that a kill cut off is none."""
        found: dict[Key, Row] = {}
        for line in self.path.read_text(encoding="utf-8").splitlines() if self.path.exists() else ():
            if line.endswith("}"):
                row = Row(**json.loads(line))
                found[key(row)] = row
        return found

    def add(self, rows: Iterable[Row]) -> None:
        """Append rows."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab+") as file:
            if file.tell():
                file.seek(-1, os.SEEK_END)
                file.write(b"" if file.read() == b"\n" else b"\n")
            file.writelines(json.dumps(asdict(row)).encode() + b"\n" for row in rows)
