"""What a search tells those who watch it, each event after it was committed."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from evomerge.campaign.progress import Ending, Progress
from evomerge.candidate import Candidate, Evaluation, Failure, Outcome
from evomerge.errors import EvomergeError


@dataclass(frozen=True)
class CandidateAsked:
    """A candidate was made: a landmark, or a proposal of the optimiser."""

    candidate: Candidate


@dataclass(frozen=True)
class CandidateTold:
    """A candidate was scored, or a schedule stopped it, and the optimiser knows.

    Attributes:
        evaluation: what the optimiser was told.
        progress: of the search; one object, which changes as the search goes on.
    """

    evaluation: Evaluation
    progress: Progress


@dataclass(frozen=True)
class CandidateFailed:
    """A candidate could not be scored, and the optimiser knows."""

    failure: Failure
    progress: Progress


@dataclass(frozen=True)
class SearchEnded:
    """`Campaign.run` returns.

    Attributes:
        ending: why: evaluations, hours, interrupted (Ctrl-C), stopped (`StopSearch`), exhausted (the optimiser has
            nothing left), or converged (it expects to gain no more that counts, see `budget.stop`).
    """

    ending: Ending
    progress: Progress


@dataclass(frozen=True)
class Noted:
    """Something to know, in words: what is being read, what a preflight found, where a warm start came from.

    Attributes:
        text: one line.
        subject: what it is about; may be empty.
        phase: whether it says what is done from now on, until the next such note or the first candidate.
    """

    text: str
    subject: str = ""
    phase: bool = False


Event: TypeAlias = CandidateAsked | CandidateTold | CandidateFailed | SearchEnded
Callback: TypeAlias = Callable[[Any], object]
"""Is called with each event, one after the other, in the thread of the search; what it raises becomes a warning."""


class StopSearch(EvomergeError):  # noqa: N818 -- as StopIteration
    """A callback raises it to end the search: what runs is finished and saved, and the ending is `stopped`.

    >>> import evomerge as em
    >>> def enough(event):
    ...     if isinstance(event, em.CandidateTold) and event.progress.done >= 4:
    ...         raise em.StopSearch

    Another thread stops a search by a `threading.Event` that such a callback looks at.
    """


def event_of(outcome: Outcome, progress: Progress) -> Event:
    """Return what is to be said of an outcome."""
    return CandidateFailed(outcome, progress) if isinstance(outcome, Failure) else CandidateTold(outcome, progress)


def tell_all(callbacks: Sequence[Callback], text: str, subject: str = "", *, phase: bool = False) -> None:
    """Tell every callback something in words."""
    emit([Noted(text, subject, phase)], callbacks)


def emit(events: Sequence[object], callbacks: Sequence[Callback], stop: Callable[[], object] | None = None) -> None:
    """Call every callback with every event; what one raises becomes a warning, or is StopSearch and calls `stop`."""
    for event in events:
        for callback in callbacks:
            try:
                callback(event)
            except Exception as error:
                if stop is not None and isinstance(error, StopSearch):
                    stop()
                    continue
                name = getattr(callback, "__qualname__", type(callback).__name__)
                message = f"callback {name} failed at {type(event).__name__}: {type(error).__name__}: {error}"
                warnings.warn(f"{message}; the search goes on", RuntimeWarning, stacklevel=2)
