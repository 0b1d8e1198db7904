"""What an archive knows, as objects and as pandas frames: the front, the candidates, the items."""

from __future__ import annotations

import base64
import contextlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal, get_args, overload

from evomerge.api.arguments import refused
from evomerge.api.genes import NotedGenes
from evomerge.api.texts import distinct, frame, front_cells, in_html, objective_columns, table_html
from evomerge.archive import Archive, Record
from evomerge.candidate import Candidate
from evomerge.results.front import CampaignFront, FrontPoint, front_as_json, read_front
from evomerge.results.picks import Picks
from evomerge.results.recorded import campaign_name
from evomerge.results.screen_agreement import ScreenAgreement, read_screen_agreement
from fitness.scores import Estimate, ItemScores, Split
from search_spaces.recipes.recipe import Parameter, Recipe

if TYPE_CHECKING:
    import pandas as pd

# Columns of ours; an objective or a gene of such a name has a prefix.
_COLUMNS = ("candidate", "label", "state", "mean", "expected", "knee", "seconds", "failure")
State = Literal["told", "failed", "stopped", "pending"]


@contextlib.contextmanager
def reading(path: Path) -> Iterator[Archive]:
    """Open an archive for reading, also while a search writes to it."""
    with contextlib.closing(Archive.read(path)) as archive:
        yield archive


class Front:
    """The Pareto front on search items.

    >>> import evomerge as em
    >>> front = em.load("runs/mine").front
    >>> best = max(front.points, key=lambda point: point.estimate.mean)
    >>> front.knee.recipe.base
    'base'
    """

    def __init__(self, path: Path) -> None:
        """Read the front of an archive."""
        self._path = path
        with reading(path) as archive:
            self._front = read_front(archive)

    @property
    def all(self) -> CampaignFront:
        """The front with its counts, constraints and notes."""
        return self._front

    @property
    def points(self) -> tuple[FrontPoint, ...]:
        """The candidates that no other dominates, best first objective first."""
        return self._front.points

    @property
    def knee(self) -> FrontPoint:
        """The point farthest from the line (plane) through the extreme points; after `verify` on validation items.

        Raises:
            PickError: nothing has been scored, or the verification does not offer it.
        """
        return self._front.knee

    @property
    def picks(self) -> Picks:
        """Which candidates `best`, `knee`, `best:OBJECTIVE` and `winner` mean, and by which items.

        >>> import evomerge as em
        >>> picks = em.load("runs/mine").front.picks
        >>> picks["winner"] in picks.chosen.values()
        True
        """
        return self._front.picks

    @property
    def screen(self) -> ScreenAgreement | None:
        """How well the screen of `schedule: screen` ranks candidates as their scores do; None without one.

        >>> import evomerge as em
        >>> em.load("runs/mine").front.screen is None
        True
        """
        with reading(self._path) as archive:
            return read_screen_agreement(archive)

    def __len__(self) -> int:
        return len(self.points)

    def __iter__(self) -> Iterator[FrontPoint]:
        return iter(self.points)

    def to_pandas(self) -> pd.DataFrame:
        """Return one row a point: candidate, label, objectives with standard errors, mean, expected mean, knee."""
        knee = self.picks.get("knee")
        rows = [
            {
                "candidate": point.candidate.number,
                "label": point.candidate.label,
                **objective_columns(point.estimate.objectives, _COLUMNS),
                "mean": point.estimate.mean,
                "expected": point.likely.mean,
                "knee": point.candidate.number == knee,
            }
            for point in self.points
        ]
        return frame(rows, "candidate")

    def to_dict(self) -> dict[str, Any]:
        """Return what `evomerge pareto --json` prints."""
        with reading(self._path) as archive:
            return front_as_json(archive, campaign_name(archive))

    def _repr_html_(self) -> str:
        picture = _figure_html(self._path) if self.points else ""
        words = "".join(f"<p>{in_html(line)}</p>" for line in self.picks.in_words)
        return picture + table_html(*front_cells(self._front)) + words


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
        taken = {*_COLUMNS, *(name for columns in objectives for name in columns)}
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
    return {**objective_columns(row.estimate.objectives, _COLUMNS), "mean": row.estimate.mean}


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


def _figure_html(archive: Path) -> str:
    """Return the picture of an archive's front: a PNG, or where there is no matplotlib plotly's, from the network."""
    from evomerge.results.report.contents import read_contents
    from evomerge.results.report.figures import front_figures
    from evomerge.results.report.plots import Plots
    from evomerge.results.report.png import can_draw, save_png

    if not can_draw():
        shown: str = Plots(archive).front().to_html(full_html=False, include_plotlyjs="cdn")
        return shown
    with reading(archive) as opened:
        figures = front_figures(read_contents(opened))
    with TemporaryDirectory() as directory:
        png = save_png(figures, Path(directory) / "front.png").read_bytes()
    data = base64.b64encode(png).decode()
    return f'<img alt="Pareto front on search items" style="max-width: 100%" src="data:image/png;base64,{data}">'
