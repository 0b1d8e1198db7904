"""A campaign's past, as a fresh optimiser is told it again."""

from __future__ import annotations

from collections.abc import Sequence

from evomerge.archive import Asked, Record
from evomerge.archive.codec import pack_genome
from evomerge.candidate import Candidate, Evaluation, Failure, Outcome
from evomerge.errors import EvomergeError


class CampaignError(EvomergeError, RuntimeError):
    """The search cannot go on; everything told before is in the archive."""


def check_replayed(event: Asked, genomes: Sequence[object]) -> None:
    """Do nothing if an optimiser proposes again what it proposed then, bit for bit.

    Raises:
        CampaignError: it does not.
    """
    packed = [pack_genome(genome) for genome in genomes]
    if packed != [pack_genome(c.genome) for c in event.candidates]:
        raise CampaignError(
            f"resume: the optimiser proposes other genomes than the archive records for candidate "
            f"{event.candidates[0].number}; expected the versions of cma, pymoo and numpy that the search began "
            "with (`evomerge doctor`): install those, or start a new run directory"
        )


def recorded_outcome(record: Record, candidate: Candidate) -> Outcome:
    """Return the outcome that an archive records, its violation still open."""
    if record.estimate is not None:
        assert record.scores is not None
        return Evaluation(candidate, record.estimate, record.scores)
    return Failure(
        candidate,
        record.stage or "worker",
        record.reason or "",
        attempts=record.attempts or 1,
        traceback=record.traceback or "",
        seconds=record.seconds,
    )
