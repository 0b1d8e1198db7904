"""How often test items have been looked at, and what error each look may spend.

The more candidates are tested on the same items, the sooner one of them looks better by chance. The error of 5 % is
spent over all verifications of an archive: the k-th that tests candidates which none before it has tested may spend

    5 % * 6 / (pi^2 k^2),

which sums to 5 % however many follow (alpha spending; the first has 61 % of it), shared evenly by these candidates. A
candidate keeps the level of the verification that tested it first, so that verifying again says the same again.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

from evomerge.archive import Archive

ERROR = 0.05
_NOTE = "looks"


class Spending(Protocol):
    """What error claims about a winner may spend."""

    def number_of(self, winner: int) -> int:
        """Return the number, from 1, of the look at the items that a winner belongs to."""
        ...

    def error_of(self, winner: int) -> float:
        """Return the error, above 0 and at most 5 %."""
        ...

    def allowed_for(self, winner: int) -> str:
        """Say what makes a winner's level stricter than 95 %, to stand at the end of a sentence on the items."""
        ...


class OneLook:
    """At items that nobody has looked at before, and nobody will again: all of the error, for one winner."""

    def number_of(self, winner: int) -> int:
        """Return 1."""
        del winner
        return 1

    def error_of(self, winner: int) -> float:
        """Return 5 %."""
        del winner
        return ERROR

    def allowed_for(self, winner: int) -> str:
        """Return nothing: the level is 95 %."""
        del winner
        return ""


@dataclass(frozen=True)
class Looks:
    """Which candidates each verification was the first to test, in the order of the verifications."""

    tested: tuple[tuple[int, ...], ...] = ()

    @staticmethod
    def of(archive: Archive) -> Looks:
        """Read an archive's; of verifications that older versions made each tested candidate counts as one."""
        noted = archive.parsed(_NOTE, lambda text: tuple(tuple(map(int, numbers)) for numbers in json.loads(text)))
        if noted is not None:
            return Looks(noted)
        landmarks = {landmark.number for landmark in archive.landmarks()}
        numbers = dict.fromkeys(record.number for record in archive.records("test") if record.number not in landmarks)
        return Looks(tuple((number,) for number in numbers))

    def after(self, winners: Collection[int]) -> Looks:
        """Return these and one more, where some of the winners have not been tested before."""
        known = {number for numbers in self.tested for number in numbers}
        new = tuple(sorted(set(winners) - known))
        return Looks((*self.tested, new)) if new else self

    def note(self, archive: Archive) -> None:
        """Record them, before the test items are looked at."""
        archive.note(_NOTE, json.dumps(self.tested))

    def number_of(self, winner: int) -> int:
        """Return the number, from 1, of the verification that tested a winner first."""
        return next(number for number, tested in enumerate(self.tested, 1) if winner in tested)

    def error_of(self, winner: int) -> float:
        """Return the error that claims about a winner may spend, above 0 and below 5 %."""
        number = self.number_of(winner)
        return ERROR * 6 / (math.pi * number) ** 2 / len(self.tested[number - 1])

    def allowed_for(self, winner: int) -> str:
        """Say what makes a winner's level stricter than 95 %, to stand at the end of a sentence on test items."""
        number = self.number_of(winner)
        together = len(self.tested[number - 1])
        winners = f"{together} winners and " if together > 1 else ""
        return f", allowing for {winners}verification {number} on these items"
