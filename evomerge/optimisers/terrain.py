"""What a descent goes down on: a loss over the coefficients of a linear merge, and its slope."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

if TYPE_CHECKING:  # a campaign file is read without numpy
    import numpy as np
    from numpy.typing import NDArray

    Values: TypeAlias = NDArray[np.float64]  # (n_parents, n_places)

WARM_START = "gradient"  # as a start point, in place of a file: where a descent ends
IMPORTANCE = "importance"  # likewise: a space's own path without what matters least of it
ObjectiveName = Literal["js", "kl", "entropy", "nll"]
Per = Literal["model", "group", "tensor", "column"]


@dataclass(frozen=True)
class Course:
    """What a descent learns from; a campaign makes a `Terrain` of it.

    Attributes:
        per: what has coefficients of its own.
        objective: js, kl: divergence from each task's expert; entropy: of the answers; nll: of the right answers.
        items: search items of each task, those held back included.
        held_back: share of them, in (0, 1), that is never learnt from and says when to stop.
        batch: items of each task in one step; None: all.
        clamp: whether coefficients are clamped to [0, 1] on their way into the weights only, as AdaMerging does, and
            are not kept between the genes' bounds.
        seed: of the batches.
    """

    per: Per
    objective: ObjectiveName
    items: int
    held_back: float
    batch: int | None
    clamp: bool
    seed: int


@dataclass(frozen=True)
class Length:
    """How long a descent is.

    Attributes:
        steps: at most.
        every: steps between two snapshots.
        patience: it ends once so many snapshots in a row did not lower the least held-back loss; 0: never early.
    """

    steps: int
    every: int
    patience: int


@dataclass(frozen=True, eq=False)
class Terrain:
    """A loss over coefficients, (n_parents, n_places) float64.

    Attributes:
        shape: (n_parents, n_places).
        low: of the coefficients; anything that broadcasts to `shape`.
        high: like `low`.
        learn: (coefficients, step from 0) -> the loss on the step's items in nats, and its slope, of `shape`.
        held_back: coefficients -> the loss on the items that are not learnt from.
        genome: coefficients -> the genome of the space that stands for them.
    """

    shape: tuple[int, int]
    low: Values
    high: Values
    learn: Callable[[Values, int], tuple[float, Values]]
    held_back: Callable[[Values], float]
    genome: Callable[[Values], NDArray[np.float64]]


class NotesInMemory:
    """Notes of a search that nobody resumes."""

    def __init__(self) -> None:
        self._notes: dict[str, str] = {}

    def noted(self, key: str) -> str | None:
        """Return what was noted last, or None."""
        return self._notes.get(key)

    def note(self, key: str, value: str) -> None:
        """Keep a fact, replacing an earlier one."""
        self._notes[key] = value


class NotesApart:
    """Notes under names of their own, among those of others."""

    def __init__(self, notes: Notes, prefix: str) -> None:
        self._notes, self._prefix = notes, prefix

    def noted(self, key: str) -> str | None:
        """Return what was noted last, or None."""
        return self._notes.noted(f"{self._prefix} {key}")

    def note(self, key: str, value: str) -> None:
        """Keep a fact, replacing an earlier one."""
        self._notes.note(f"{self._prefix} {key}", value)


class Notes(Protocol):
    """Facts about a search that a resume reads again (`evomerge.archive.Archive`)."""

    def noted(self, key: str) -> str | None:
        """Return what was noted last, or None."""
        ...

    def note(self, key: str, value: str) -> None:
        """Keep a fact, replacing an earlier one."""
        ...
