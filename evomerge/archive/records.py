"""What an archive yields: events of a campaign, and candidates' outcomes."""

from __future__ import annotations

from dataclasses import dataclass

from evomerge.candidate import Candidate, Stage
from fitness.scores import Estimate, ItemScores, Split


@dataclass(frozen=True)
class Asked:
    """Candidates were created: `requested` genomes were asked for (None for landmarks)."""

    candidates: tuple[Candidate, ...]
    requested: int | None


@dataclass(frozen=True)
class Record:
    """A candidate's outcome on one split: an estimate, or the stage and reason of its failure.

    Attributes:
        number: the candidate's.
        at: seconds since the epoch when it was committed.
        seconds: wall time of merging and scoring.
        scores: in `history` and `held` only; `Archive.scores` reads those of one candidate.
    """

    number: int
    split: Split
    at: float
    seconds: float
    estimate: Estimate | None
    stage: Stage | None
    reason: str | None
    attempts: int | None
    traceback: str | None
    scores: ItemScores | None = None


@dataclass(frozen=True)
class Told:
    """Outcomes arrived, in this order."""

    records: tuple[Record, ...]
