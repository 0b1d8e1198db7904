"""Trackio."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from evomerge.tracking.protocol import Subject


class TrackioRun:
    """A run in the project `TRACKIO_PROJECT` (default evomerge), kept in trackio's own directory."""

    def __init__(self, subject: Subject) -> None:
        """Begin the run, or go on with it."""
        import trackio

        self._project = os.environ.get("TRACKIO_PROJECT", "evomerge")
        name = f"{subject.name}-{subject.key}"
        self._run = trackio.init(project=self._project, name=name, config=dict(subject.settings), resume="allow")

    @property
    def place(self) -> str:
        """Its project."""
        return f'project {self._project} (trackio show --project "{self._project}" shows it)'

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Log a step."""
        self._run.log(dict(values), step=step)

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[str | float | None]]) -> None:
        """Log a table."""
        import pandas as pd
        import trackio

        self._run.log({name: trackio.Table(dataframe=pd.DataFrame([list(row) for row in rows], columns=list(columns)))})

    def close(self) -> None:
        """Finish the run."""
        self._run.finish()
