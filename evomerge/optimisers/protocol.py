"""The protocol of an optimiser: ask and tell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

if TYPE_CHECKING:  # a campaign file is read without numpy
    from evomerge.candidate import Outcome

G_co = TypeVar("G_co", covariant=True)


class Optimiser(Protocol[G_co]):
    """Proposes genomes and learns from outcomes; every objective is maximised.

    An optimiser is a deterministic function of its constructor's arguments and of the calls made to it: replaying the
    same calls gives the same genomes, bit for bit. The i-th genome it ever returns is proposal i
    (`Candidate.proposal`), whatever the sizes of the calls.
    """

    def ask(self, n: int) -> Sequence[G_co]:
        """Return 0 to n genomes; none, which changes nothing, when it must learn from pending outcomes first."""
        ...

    def tell(self, outcomes: Sequence[Outcome]) -> None:
        """Learn from outcomes, in any order, each proposal once; a Failure ranks below every Evaluation."""
        ...


@runtime_checkable
class TellsGain(Protocol):
    """What an optimiser may offer beside `ask` and `tell`: when a search is over (`budget.stop`).

    Its options say so by `tells_gain`.
    """

    def gain_left(self) -> float | None:
        """Return what further candidates are expected to gain over the best so far, at least 0; None: too early to say.

        In units of the objectives. A function of what was told, without effect on what is proposed.
        """
        ...


def gain_left(optimiser: Optimiser[Any]) -> float | None:
    """Return what an optimiser expects to gain; None where it cannot tell."""
    return optimiser.gain_left() if isinstance(optimiser, TellsGain) else None
