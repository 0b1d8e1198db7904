"""The second test part, `splits: {final: ...}`: opened once, for the winner of a verification, and never again.

Test items may be looked at as often as one likes, each look at its price (see `looks`). Final items nobody has looked
at before they are opened, and who they are opened for is noted before anything is scored on them: so one claim is made
on them, with all of the error.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Literal

from pydantic import TypeAdapter

from evomerge.archive import Archive
from evomerge.results.verification.held_out_constraints import HeldOutBound
from evomerge.results.verification.result import Verification, VerificationError
from fitness.scores import Split

_NOTE = "final"
WITHOUT_FINAL = (
    "cannot open final items: expected a share of them in the campaign that began this search, found none; begin one "
    "with `splits: {search: 0.5, validation: 0.2, test: 0.2, final: 0.1}`"
)
UNVERIFIED = "cannot open the final items: expected a verification before, found none; run `evomerge verify` first"


@dataclass(frozen=True)
class FinalLook:
    """Who the final items are, or will be, opened for."""

    candidate: int
    picks: tuple[str, ...]  # that chose it
    best_parent: str  # by the items that the candidate was chosen on, which are not the final ones
    chosen_on: Split
    found: Verification | None = None  # None: not yet, or it was stopped in the middle
    constraints: tuple[HeldOutBound, ...] = ()  # on final items

    @staticmethod
    def noted(archive: Archive, *, damaged: Literal["raise", "skip"] = "raise") -> FinalLook | None:
        """Return the look that was begun; None before."""
        return archive.parsed(_NOTE, TypeAdapter(FinalLook).validate_json, damaged=damaged)

    @staticmethod
    def of(archive: Archive) -> FinalLook:
        """Return the look that was begun, else one for the winner of the last verification."""
        if (begun := FinalLook.noted(archive)) is not None:
            return begun
        verified = archive.parsed("verification", Verification.from_json)
        if verified is None:
            raise VerificationError(UNVERIFIED)
        picked = verified.winner_of(verified.winner)
        picks = ("best",) if picked is None else picked.picks
        return FinalLook(verified.winner, picks, verified.best_parent, verified.chosen_on)

    @property
    def lines(self) -> tuple[str, ...]:
        """The verdict in words and whether constraints are kept; what is missing where it was stopped."""
        if self.found is None:
            return (f"Final items: opened for candidate {self.candidate}, and not all scored; go on with --final.",)
        return (f"Final items: {self.found.verdict}", *map(str, self.constraints))

    def note(self, archive: Archive) -> None:
        """Record it; without a result before anything is scored."""
        archive.note(_NOTE, json.dumps(asdict(self)))
