"""The Pareto front of a run, as Python users see it."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from evomerge.api.tables import COLUMNS, reading
from evomerge.api.texts import frame, front_cells, in_html, objective_columns, table_html
from evomerge.results.front import CampaignFront, FrontPoint, front_as_json, read_front
from evomerge.results.picks import Picks
from evomerge.results.recorded import campaign_name
from evomerge.results.screen_agreement import ScreenAgreement, read_screen_agreement

if TYPE_CHECKING:
    import pandas as pd


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
                **objective_columns(point.estimate.objectives, COLUMNS),
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
