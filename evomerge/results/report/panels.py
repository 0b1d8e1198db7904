"""The panels of the front: which two quantities each one shows."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evomerge.results.report.scored import Scored

# Dominated points are thinned to this many over all panels, so that the page stays quick.
DRAWN_POINTS = 5000


@dataclass(frozen=True, eq=False)
class Axis:
    """One quantity of every scored candidate.

    Attributes:
        values: (n,).
        stderrs: (n,); None for a quantity without errors.
    """

    name: str
    values: NDArray[np.float64]
    stderrs: NDArray[np.float64] | None


@dataclass(frozen=True, eq=False)
class Panel:
    """Two quantities against each other.

    Attributes:
        is_front: whether these two are all objectives, so that the front is a line here.
    """

    x: Axis
    y: Axis
    is_front: bool


def objective_axes(scored: Scored) -> list[Axis]:
    """Return one axis per objective."""
    label = scored.label
    return [Axis(name + label, scored.values[:, k], scored.stderrs[:, k]) for k, name in enumerate(scored.objectives)]


def panels(scored: Scored) -> list[Panel]:
    """Return the panels of the front.

    One objective is shown against the candidates' numbers, two against each other, three and four in all pairs, and
    each of more than four against the mean of all the others.
    """
    axes = objective_axes(scored)
    if len(axes) == 1:
        return [Panel(Axis("candidate", scored.numbers.astype(np.float64), None), axes[0], is_front=False)]
    if len(axes) <= 4:
        return [Panel(x, y, is_front=len(axes) == 2) for x, y in itertools.combinations(axes, 2)]
    return [Panel(_mean(axes, k), axis, is_front=False) for k, axis in enumerate(axes)]


def dominated(scored: Scored, n_panels: int) -> NDArray[np.intp]:
    """Return the indices of the dominated points to draw, evenly thinned in the order of their evaluation."""
    rest = np.setdiff1d(np.arange(len(scored.numbers)), scored.front)
    most = max(500, DRAWN_POINTS // max(1, n_panels))
    if len(rest) <= most:
        return rest
    return rest[np.linspace(0, len(rest) - 1, most).astype(np.intp)]


def _mean(axes: list[Axis], left_out: int) -> Axis:
    others = [axis for k, axis in enumerate(axes) if k != left_out]
    values = np.mean([axis.values for axis in others], axis=0)
    stderrs = np.sqrt(np.sum([axis.stderrs**2 for axis in others if axis.stderrs is not None], axis=0)) / len(others)
    return Axis("mean of the others", values, stderrs)
