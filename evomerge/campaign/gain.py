"""Whether anything is left to gain: a search ends by itself once its optimiser expects too little (`budget.stop`)."""

from __future__ import annotations

from typing import Any

from evomerge.archive import Archive
from evomerge.campaign.past import CampaignError, at_fault, name_of
from evomerge.optimisers.options import OptimiserOptions
from evomerge.optimisers.protocol import Optimiser, TellsGain, gain_left
from evomerge.optimisers.registry import OPTIMISERS

NOTE = "gain_left"  # what the optimiser expected when the search was ended by it
FEWEST = 30  # candidates told, landmarks included, before an optimiser is asked


class Gain:
    """Asks an optimiser what it still expects to gain, and keeps the decision that this is too little.

    The decision is committed with the candidates that it follows: candidates that are told after it, also after a kill,
    do not undo it. A search that goes on with a smaller least gain than was expected then, or with none, is not over.

    Args:
        archive: keeps the decision.
        optimiser: one that can tell has `gain_left` (see `evomerge.optimisers.protocol.TellsGain`).
        least: the search is over where no more than this is expected, in units of the objectives; None: it never is.
    """

    def __init__(self, archive: Archive, optimiser: Optimiser[Any], least: float | None) -> None:
        self._archive, self._optimiser, self._least = archive, optimiser, least
        self.left: float | None = None
        self.too_small = False

    def restore(self) -> None:
        """Take up a decision that an earlier session came to."""
        noted = self._archive.parsed(NOTE, float)
        if noted is not None and self._least is not None and noted <= self._least:
            self.left, self.too_small = noted, True

    def look(self, n_told: int) -> bool:
        """Return whether the search is over, asking the optimiser where enough candidates were told.

        Raises:
            CampaignError: the optimiser raised.
        """
        if self._least is None or self.too_small or n_told < FEWEST:
            return self.too_small
        try:
            self.left = gain_left(self._optimiser)
        except Exception as error:
            raise at_fault(self._optimiser, "gain_left()", "a number or None", error) from error
        if self.left is not None and not self.left >= 0.0:
            raise CampaignError(
                f"{name_of(self._optimiser)}.gain_left(): expected a number of at least 0 or None, found {self.left!r}"
            )
        if self.left is not None and self.left <= self._least:
            self.too_small = True
            self._archive.note(NOTE, repr(float(self.left)))
        return self.too_small


def tells_gain(options: OptimiserOptions, own: object) -> bool:
    """Return whether the optimiser of some options can tell, or a user's own one where there is one."""
    return options.tells_gain if own is None else isinstance(getattr(own, "own", own), TellsGain)


def never_over(kind: str) -> str:
    """Return what to say where an optimiser cannot tell."""
    able = [name for name in OPTIMISERS.names if getattr(OPTIMISERS.named(name), "tells_gain", None) is True]
    others = f"; {', '.join(able)} can" if able else ""
    return f"budget.stop: {kind} cannot tell what is left to gain, so the search ends at budget.evaluations{others}"
