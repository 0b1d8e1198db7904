"""A descent, snapshot by snapshot, each noted as it is made: what was noted is never computed again."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from evomerge.errors import shortened
from evomerge.optimisers.errors import OptimiserError
from evomerge.optimisers.gradient.steppers import Stepper, Values
from evomerge.optimisers.terrain import Length, Notes, Terrain

NOTE = "descent"
SCALES = (0.3, 0.5, 0.7, 1.0)  # coefficients that a descent may begin with, besides one over the number of parents


@dataclass(frozen=True, eq=False)
class Snapshot:
    """Where a descent was.

    Attributes:
        step: how many were taken.
        values: the coefficients; (n_parents, n_places).
        genome: that stands for them; (dim,) in [0, 1].
        loss: mean over the steps since the last snapshot; NaN at the start.
        held_back: loss on the items that are not learnt from.
    """

    step: int
    values: Values
    genome: NDArray[np.float64]
    loss: float
    held_back: float


class Descent:
    """Go down from a start, step by step.

    A killed descent goes on from its last snapshot as it would have gone on, bit for bit: batches depend on the step
    alone, and what the stepper remembers is noted with the coefficients.

    Args:
        make_terrain: called once when the first step is taken, never for what was noted; let go of at the end.
        stepper: fresh.
        length: when it ends.
        initial: coefficient of every parent; "auto": the best of 1/N and `SCALES` on the items held back.
        notes: where snapshots are kept.
    """

    def __init__(
        self,
        make_terrain: Callable[[], Terrain],
        stepper: Stepper,
        *,
        length: Length,
        initial: float | Literal["auto"],
        notes: Notes,
    ) -> None:
        self._make_terrain, self._stepper, self._length, self._initial = make_terrain, stepper, length, initial
        self._notes = notes
        self._made: Terrain | None = None
        self._snapshots: list[Snapshot] = []
        noted = notes.noted(NOTE)
        if noted is not None:
            try:
                self._read(json.loads(noted))
            except (ValueError, TypeError, LookupError, RecursionError) as error:
                raise OptimiserError(
                    f"optimiser: expected the record of a descent, found a damaged one ({type(error).__name__}: "
                    f"{shortened(str(error), 80)}); put a backup of the run directory in its place"
                ) from error

    def snapshot(self, index: int) -> Snapshot | None:
        """Return a snapshot, 0 being the start, going down as far as it takes; None where the descent ends before."""
        while len(self._snapshots) <= index:
            if self._ended:
                self._made = None
                return None
            self._snapshots.append(self._next() if self._snapshots else self._first())
            self._notes.note(NOTE, json.dumps(self._written()))
        return self._snapshots[index]

    def __iter__(self) -> Iterator[Snapshot]:
        """Go down to the end."""
        index = 0
        while (found := self.snapshot(index)) is not None:
            yield found
            index += 1

    def best(self) -> Snapshot:
        """Return the snapshot of the least held-back loss, once the descent has ended; of equals the first."""
        return min(self, key=lambda snapshot: snapshot.held_back)

    @property
    def _terrain(self) -> Terrain:
        if self._made is None:
            self._made = self._make_terrain()
        return self._made

    @property
    def _ended(self) -> bool:
        if not self._snapshots:
            return False
        losses = [snapshot.held_back for snapshot in self._snapshots]
        stale = len(losses) - 1 - int(np.argmin(losses))
        return self._snapshots[-1].step >= self._length.steps or 0 < self._length.patience <= stale

    def _first(self) -> Snapshot:
        terrain = self._terrain
        scales = [1.0 / terrain.shape[0], *SCALES] if self._initial == "auto" else [float(self._initial)]
        starts = [_within(np.full(terrain.shape, scale), terrain) for scale in scales]
        losses = [_finite(terrain.held_back(start), 0) for start in starts]
        start = starts[int(np.argmin(losses))]
        return Snapshot(0, start, terrain.genome(start), math.nan, min(losses))

    def _next(self) -> Snapshot:
        terrain, last = self._terrain, self._snapshots[-1]
        values, losses = last.values, []
        for step in range(last.step, min(last.step + self._length.every, self._length.steps)):
            loss, slope = terrain.learn(values, step)
            losses.append(_finite(loss, step))
            values = _within(self._stepper.advance(values, slope), terrain)
        step = last.step + len(losses)
        held_back = _finite(terrain.held_back(values), step)
        return Snapshot(step, values, terrain.genome(values), math.fsum(losses) / len(losses), held_back)

    def _written(self) -> dict[str, Any]:
        snapshots = [[s.step, s.values.tolist(), s.genome.tolist(), s.loss, s.held_back] for s in self._snapshots]
        return {"snapshots": snapshots, "state": [part.tolist() for part in self._stepper.state()]}

    def _read(self, noted: dict[str, Any]) -> None:
        self._snapshots = [
            Snapshot(step, np.array(values), np.array(genome), *losses)
            for step, values, genome, *losses in noted["snapshots"]
        ]
        self._stepper.restore([np.array(part, dtype=np.float64) for part in noted["state"]])


def _within(values: Values, terrain: Terrain) -> Values:
    return np.asarray(np.clip(values, terrain.low, terrain.high), dtype=np.float64)


def _finite(loss: float, step: int) -> float:
    if not math.isfinite(loss):
        raise OptimiserError(
            f"optimiser: expected a finite loss at step {step} of the descent, found {loss}; lower rate, or set "
            "engine.dtype: float32"
        )
    return loss
