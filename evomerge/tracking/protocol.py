"""What a tracker takes in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from evomerge.errors import EvomergeError


class TrackingError(EvomergeError):
    """A tracker cannot be opened, or took nothing in."""


@dataclass(frozen=True)
class Subject:
    """The run that is tracked.

    Attributes:
        name: the campaign's.
        key: the same whenever the same search is tracked, so that what is resumed goes on in the tracker.
        settings: the campaign, without the directories of local files.
        directory: of the run, absolute; what a tracker keeps on this machine lies there by default.
    """

    name: str
    key: str
    settings: Mapping[str, Any]
    directory: Path


class Tracker(Protocol):
    """Where a search is shown: every candidate is a step, counted from 1 in the order in which they were told."""

    @property
    def place(self) -> str:
        """Where it is to be seen, in words."""
        ...

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Take in what was measured at a step, by name; all finite."""
        ...

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[str | float | None]]) -> None:
        """Take in a table."""
        ...

    def close(self) -> None:
        """Write what is not written yet."""
        ...
