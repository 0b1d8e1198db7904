"""What an archive knows of candidates and items, as objects and as pandas frames."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args, overload

from evomerge.api.arguments import refused
from evomerge.api.texts import distinct, frame, objective_columns, table_html
from evomerge.archive import Archive, Record
from evomerge.candidate import Candidate
from evomerge.results.genes import NotedGenes
from fitness.scores import Estimate, ItemScores, Split
from search_spaces.recipes.recipe import Recipe
from search_spaces.recipes.rule import Parameter

if TYPE_CHECKING:
    import pandas as pd

# Columns of ours, here and of the front; an objective or a gene of such a name has a prefix.
COLUMNS = ("candidate", "label", "state", "mean", "expected", "knee", "seconds", "failure")
State = Literal["told", "failed", "stopped", "pending"]


@contextlib.contextmanager
def reading(path: Path) -> Iterator[Archive]:
    """Open an archive for reading, also while a search writes to it."""
    with contextlib.closing(Archive.read(path)) as archive:
        yield archive


@dataclass(frozen=True)
class CandidateRow:
    """A candidate and what became of it.

    Attributes:
        candidate: its recipe, label and genome.
        state: told; failed; stopped: before it had answered all of its items; pending: asked, and not told yet.
        estimate: objectives with standard errors; None where there is none.
        seconds: of merging and scoring; None while it is pending.
        failure: why it failed, in words; empty otherwise.
        genes: name -> value of what an optimiser proposed; empty for landmarks.
    """

    candidate: Candidate
    state: State
    estimate: Estimate | None
    seconds: float | None
    failure: str
    genes: dict[str, Parameter]

    @property
    def number(self) -> int:
        """Counts from 0."""
        return self.candidate.number

    @property
    def label(self) -> str | None:
        """A landmark's name."""
        return self.candidate.label

    @property
    def recipe(self) -> Recipe:
        """The merge."""
        return self.candidate.recipe


class Candidates(Sequence[CandidateRow]):
    """Every candidate of a campaign, as far as it is.

    >>> import evomerge as em
    >>> candidates = em.load("runs/mine").candidates
    >>> candidates[0].label, candidates[0].state
    ('base', 'told')
    """

    def __init__(self, path: Path) -> None:
        """Read the candidates of an archive."""
        with reading(path) as archive:
            records = {record.number: record for record in archive.records("search")}
            genes = NotedGenes.read(archive)
            self._rows = [_row(c, records.get(c.number), genes) for c in archive.candidates()]

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, number: int) -> CandidateRow: ...
    @overload
    def __getitem__(self, number: slice) -> list[CandidateRow]: ...
    def __getitem__(self, number: int | slice) -> CandidateRow | list[CandidateRow]:
        """Return a candidate by its number."""
        return self._rows[number]

    def to_pandas(self) -> pd.DataFrame:
        """Return one row a candidate.

        Columns: label, state, each objective and its standard error (`NAME stderr`), mean, seconds, failure, and every
        gene by its name. What a candidate does not have is missing. An objective or a gene that is named like another
        column begins with `objective ` or `gene `.
        """
        objectives = [_scored(row) for row in self._rows]
        taken = {*COLUMNS, *(name for columns in objectives for name in columns)}
        genes = {name: distinct(name, taken, "gene") for row in self._rows for name in row.genes}
        rows = [
            {
                "candidate": row.number,
                "label": row.label,
                "state": row.state,
                **columns,
                "seconds": row.seconds,
                "failure": row.failure,
                **{column: row.genes.get(name) for name, column in genes.items()},
            }
            for row, columns in zip(self._rows, objectives, strict=True)
        ]
        return frame(rows, "candidate")

    def __repr__(self) -> str:
        counts = Counter(row.state for row in self._rows)
        return f"Candidates({', '.join(f'{n} {state}' for state, n in counts.items())})"

    def _repr_html_(self) -> str:
        rows = [
            [str(row.number), row.label or "", row.state, *(f"{value:.3f}" for value in _scored(row).values())]
            for row in self._rows
        ]
        columns = next((list(scored) for row in self._rows if (scored := _scored(row))), [])
        return table_html(["candidate", "label", "state", *columns], rows)


class Items:
    """Which items every candidate was scored on, and with which scores.

    >>> import evomerge as em
    >>> scores = em.load("runs/mine").items.scores(0)
    >>> len(scores.item_ids) == len(scores.values)
    True
    """

    def __init__(self, path: Path) -> None:
        """Read from an archive."""
        self._path = path

    def scores(self, candidate: int, split: Split = "search") -> ItemScores | None:
        """Return a candidate's item scores on a split; None where it was not scored there.

        Raises:
            ConfigError: there is no such split.
            ArchiveError: there is no such candidate.
        """
        _check_split(split)
        with reading(self._path) as archive:
            return archive.scores(archive.candidate(candidate).number, split)

    def to_pandas(self, split: Split = "search") -> pd.DataFrame:
        """Return (n_candidates, n_items) scores of those candidates that have some; NaN where one did not answer."""
        _check_split(split)
        rows = []
        with reading(self._path) as archive:
            for number in range(archive.n_candidates):
                if (found := archive.scores(number, split)) is not None:
                    rows.append({"candidate": number, **dict(zip(found.item_ids, found.values.tolist(), strict=True))})
        return frame(rows, "candidate")

    def __repr__(self) -> str:
        return f"Items({', '.join(f'{split}: {n} candidates x {m} items' for split, n, m in self._sizes())})"

    def _repr_html_(self) -> str:
        return table_html(["split", "candidates", "items"], [list(map(str, row)) for row in self._sizes()])

    def _sizes(self) -> list[tuple[str, int, int]]:
        """Return (split, candidates, items) of every split that somebody answered."""
        sizes = []
        with reading(self._path) as archive:
            for split in get_args(Split):
                answered = list(archive.answered(split))
                if answered:
                    items = {item for _, ids in answered for item in ids}
                    sizes.append((split, len({number for number, _ in answered}), len(items)))
        return sizes


def _scored(row: CandidateRow) -> dict[str, float]:
    """Return objectives, their standard errors and the mean as columns; nothing where there are no scores."""
    if row.estimate is None:
        return {}
    return {**objective_columns(row.estimate.objectives, COLUMNS), "mean": row.estimate.mean}


def _check_split(split: object) -> None:
    if split not in get_args(Split):
        raise refused("split", f"one of {', '.join(get_args(Split))}", split)


def _row(candidate: Candidate, record: Record | None, genes: NotedGenes) -> CandidateRow:
    values = genes.values(candidate.genome)
    if record is None:
        return CandidateRow(candidate, "pending", None, None, "", values)
    if record.estimate is None:
        failure = f"{record.stage}: {record.reason}"
        return CandidateRow(candidate, "failed", None, record.seconds, failure, values)
    state: State = "told" if record.estimate.stopped is None else "stopped"
    return CandidateRow(candidate, state, record.estimate, record.seconds, "", values)
