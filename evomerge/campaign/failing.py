"""When a search is broken: candidate after candidate fails, or a landmark that others are measured by."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from evomerge.campaign.replay import CampaignError
from evomerge.candidate import Candidate, Failure, Outcome

MAX_FAILURES_IN_A_ROW = 5
_LOG = logging.getLogger(__name__)


class FailuresInARow:
    """Counts how many different candidates failed one after the other."""

    def __init__(self) -> None:
        self._count = 0

    def see(self, outcomes: Sequence[Outcome]) -> CampaignError | None:
        """Take in outcomes as they arrive; return what to end with where there are too many failures."""
        error = None
        for outcome in outcomes:
            if not isinstance(outcome, Failure):
                self._count = 0
                continue
            number = outcome.candidate.number
            _LOG.warning("candidate %d failed (%s): %s", number, outcome.stage, outcome.reason)
            self._count += 1
            if self._count == MAX_FAILURES_IN_A_ROW:
                error = CampaignError(
                    f"{MAX_FAILURES_IN_A_ROW} different candidates failed in a row; the last one (candidate {number}) "
                    f"at stage {outcome.stage}: {outcome.reason}. Everything is saved: mend the cause and run the same "
                    "command again"
                )
        return error


def without(landmark: Candidate) -> CampaignError:
    """Return what to end with where a landmark failed that a constraint is measured by."""
    return CampaignError(
        f"{landmark.label} failed, and a constraint (at_least) is measured by it: mend the cause, or write a number "
        "for at_least, and start a new run directory"
    )
