"""The table of candidates: every column as an array, so that pages of 100,000 are sorted and filtered at once."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evomerge.results.pages.snapshot import Snapshot, number

STATES = ("told", "failed", "stopped", "pending")
MOST_ROWS = 500


@dataclass(frozen=True)
class Query:
    """What a page of the table asks for.

    Attributes:
        sort: a column's key; `number` where there is no such column.
        descending: whether the largest come first; what is missing always comes last.
        offset: of the first row, at least 0.
        limit: how many rows, 1 to `MOST_ROWS`.
        states: only these; empty: all.
        text: part of a label, a mark or a failure.
        only: only these numbers; None: all.
        least: column's key -> lowest value that is shown.
        most: the same, the highest.
    """

    sort: str = "number"
    descending: bool = False
    offset: int = 0
    limit: int = 100
    states: tuple[str, ...] = ()
    text: str = ""
    only: frozenset[int] | None = None
    least: Mapping[str, float] = field(default_factory=dict)
    most: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Table:
    """All candidates of a snapshot as columns of numbers: `o0`, `e0` of objectives and errors, `g0` of genes."""

    snapshot: Snapshot

    @cached_property
    def gene_names(self) -> tuple[str, ...]:
        """The genes that columns stand for; of genomes that are no vectors there are none."""
        return tuple(dict.fromkeys(name for values in self._genes for name in values))

    @cached_property
    def columns(self) -> dict[str, NDArray[np.float64]]:
        """Key -> (n,) numbers, NaN where a candidate has none."""
        n, contents = len(self.snapshot.candidates), self.snapshot.contents
        asked = np.array([c.number for c in self.snapshot.candidates], dtype=np.float64)
        found = {"number": asked}
        for key, values in self._scored().items():
            found[key] = np.full(n, np.nan)
            found[key][np.searchsorted(asked, contents.scored.numbers)] = values
        records = [self.snapshot.records.get(c.number) for c in self.snapshot.candidates]
        found["seconds"] = np.array([np.nan if r is None else r.seconds for r in records], dtype=np.float64)
        for k, name in enumerate(self.gene_names):
            found[f"g{k}"] = np.array([_numeric(values.get(name)) for values in self._genes])
        return found

    @cached_property
    def states(self) -> NDArray[np.str_]:
        """(n,) what became of each."""
        return np.array([self.snapshot.state(c.number) for c in self.snapshot.candidates], dtype=np.str_)

    def page(self, query: Query) -> dict[str, Any]:
        """Return how many rows there are and those asked for."""
        order = self.order(query)
        shown = order[query.offset : query.offset + min(max(query.limit, 1), MOST_ROWS)].tolist()
        heads = [{"key": f"g{k}", "name": name} for k, name in enumerate(self.gene_names)]
        return {"total": len(order), "all": len(self.snapshot.candidates), "genes": heads} | {
            "rows": [self.row(i) for i in shown]
        }

    def order(self, query: Query) -> NDArray[np.intp]:
        """Return the indices of all rows that a query lets through, sorted."""
        kept = np.ones(len(self.snapshot.candidates), dtype=bool)
        if query.states:
            kept &= np.isin(self.states, query.states)
        if query.only is not None:
            kept &= np.isin(self.columns["number"], sorted(query.only))
        for bounds, sign in ((query.least, 1), (query.most, -1)):
            for key, bound in bounds.items():
                if key in self.columns:
                    kept &= sign * self.columns[key] >= sign * bound
        if query.text:
            wanted = query.text.casefold()
            kept &= np.array([wanted in text for text in self._texts], dtype=bool)
        at = np.flatnonzero(kept)
        values = self.columns.get(query.sort, self.columns["number"])[at]
        return at[np.argsort(-values if query.descending else values, kind="stable")]

    def row(self, i: int) -> dict[str, Any]:
        """Return one row as a page shows it."""
        candidate, contents = self.snapshot.candidates[i], self.snapshot.contents
        at = candidate.number
        record = self.snapshot.records.get(at)
        failed = record is not None and record.estimate is None
        return {
            "number": at,
            "label": contents.labels.get(at, ""),
            "state": str(self.states[i]),
            "marks": self.snapshot.marks.get(at, []),
            "operators": operators(candidate.recipe),
            "failure": f"{record.stage}: {record.reason}" if failed and record is not None else "",
            "genes": {
                f"g{k}": self._genes[i][name] for k, name in enumerate(self.gene_names) if name in self._genes[i]
            },
        } | {key: number(float(self.columns[key][i])) for key in self._scored_keys}

    def csv(self, query: Query) -> str:
        """Return the rows of a query as CSV with a head."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(self.heads)
        for i in self.order(query).tolist():
            writer.writerow([_inert(cell) for cell in self._cells(i)])
        return out.getvalue()

    def parquet(self, query: Query) -> bytes:
        """Return the same as Parquet; ImportError where pyarrow is missing."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        rows = [self._cells(i) for i in self.order(query).tolist()]
        columns = zip(*rows, strict=True) if rows else [()] * len(self.heads)
        out = io.BytesIO()
        mixed = (list(column) if _of_one_kind(column) else list(map(str, column)) for column in columns)
        pq.write_table(pa.table(dict(zip(self.heads, mixed, strict=True))), out)
        return out.getvalue()

    @property
    def heads(self) -> list[str]:
        """What the columns of a file are called, each once."""
        objectives = [
            column for name in self.snapshot.contents.scored.objectives for column in (name, f"{name} stderr")
        ]
        names = ["candidate", "label", "state", *objectives, "mean", "expected", "seconds", "failure", *self.gene_names]
        counted: dict[str, int] = {}
        found = []
        for name in names:
            counted[name] = counted.get(name, 0) + 1
            found.append(name if counted[name] == 1 else f"{name} ({counted[name]})")
        return found

    def _cells(self, i: int) -> list[Any]:
        row = self.row(i)
        m = len(self.snapshot.contents.scored.objectives)
        scored = [row[key] for k in range(m) for key in (f"o{k}", f"e{k}")]
        genes = [row["genes"].get(f"g{k}") for k in range(len(self.gene_names))]
        first = [row["number"], row["label"], row["state"]]
        return [*first, *scored, row["mean"], row["expected"], row["seconds"], row["failure"], *genes]

    @cached_property
    def _genes(self) -> list[dict[str, Any]]:
        return [self.snapshot.genes.values(c.genome) for c in self.snapshot.candidates]

    @cached_property
    def _texts(self) -> list[str]:
        found = []
        for candidate in self.snapshot.candidates:
            record = self.snapshot.records.get(candidate.number)
            parts = [
                self.snapshot.contents.labels.get(candidate.number, ""),
                *self.snapshot.marks.get(candidate.number, []),
            ]
            parts += [] if record is None else [record.reason or "", record.stage or ""]
            found.append(" ".join([str(candidate.number), *parts]).casefold())
        return found

    def _scored(self) -> dict[str, NDArray[np.float64]]:
        contents, values = self.snapshot.contents, self.snapshot.values
        expected = [contents.expected[n].mean for n in contents.scored.numbers.tolist()]
        found = {"mean": contents.scored.means, "expected": np.array(expected, dtype=np.float64)}
        for k in range(len(contents.scored.objectives)):
            found |= {f"o{k}": values[:, k], f"e{k}": contents.scored.stderrs[:, k]}
        return found

    @cached_property
    def _scored_keys(self) -> list[str]:
        return [*self._scored(), "seconds"]


def operators(recipe: Any) -> str:
    """Return the operators of a recipe, each once; of layers or pieces in words."""
    names = list(dict.fromkeys(rule.operator for rule in recipe.rules))
    if recipe.pieces is not None:
        names = ["pieces of the parents"]
    return ", ".join([*names, *(["layer path"] if recipe.layers else [])])


def _numeric(value: object) -> float:
    return float(value) if isinstance(value, int | float) else float("nan")


def _of_one_kind(column: Sequence[Any]) -> bool:
    return len({str if isinstance(cell, str) else float for cell in column if cell is not None}) < 2


def _inert(cell: Any) -> Any:
    """Return a cell that no spreadsheet takes for a formula."""
    return f"'{cell}" if isinstance(cell, str) and cell[:1] in "=+-@\t\r" and cell else cell
