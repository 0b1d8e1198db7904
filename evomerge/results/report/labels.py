"""Where the names of points go, so that they cover neither each other nor other points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

# Sizes in pixels of a narrow panel: what does not collide there does not collide in a wide one.
_PANEL = np.array([260.0, 250.0])
_LETTER, _LINE, _MARKER = 6.4, 15.0, 8.0
_MARGIN = 14.0  # between the outermost points and the edge of the panel
_PLACES = {
    "top center": (0.0, 1.0),
    "bottom center": (0.0, -1.0),
    "middle right": (1.0, 0.0),
    "middle left": (-1.0, 0.0),
    "top right": (1.0, 1.0),
    "top left": (-1.0, 1.0),
    "bottom right": (1.0, -1.0),
    "bottom left": (-1.0, -1.0),
}
LONGEST = 18


class Box(NamedTuple):
    """A rectangle by its centre and its half sizes."""

    x: float
    y: float
    width: float
    height: float


def shortened(name: str) -> str:
    """Return a name of at most `LONGEST` letters, its end kept: paths differ there."""
    return name if len(name) <= LONGEST else "…" + name[1 - LONGEST :]


def shortened_row(row: str) -> str:
    """Return a heat map's row name with a parent's long name shortened."""
    parent, dot, kind = row.rpartition(" · ")
    return f"{shortened(parent)}{dot}{kind}"


def label_places(points: ArrayLike, names: Sequence[str], others: ArrayLike = ()) -> list[str]:
    """Return a side, in plotly's words, for the name of each (n, 2) point, one after the other, where it covers least.

    `others` are (k, 2) further points that had better stay visible.
    """
    named = np.asarray(points, dtype=np.float64).reshape(-1, 2)
    everything = np.concatenate([named, np.asarray(others, dtype=np.float64).reshape(-1, 2)])
    if not len(everything):
        return []
    low = everything.min(axis=0)
    pixels = (everything - low) / np.maximum(np.ptp(everything, axis=0), 1e-12) * _PANEL
    markers = [Box(x, y, _MARKER / 2, _MARKER / 2) for x, y in pixels.tolist()]
    labels: list[Box] = []
    places: list[str] = []
    for point, name in zip(pixels, names, strict=False):
        costs = {place: _cost(_box(point, name, place), markers, labels) for place in _PLACES}
        places.append(min(costs, key=lambda place: costs[place]))
        labels.append(_box(point, name, places[-1]))
    return places


def _box(point: NDArray[np.float64], name: str, place: str) -> Box:
    dx, dy = _PLACES[place]
    width, height = _LETTER * len(name) / 2, _LINE / 2
    aside = width + (_MARKER if dy == 0 else 0)
    return Box(float(point[0]) + dx * aside, float(point[1]) + dy * (height + _MARKER), width, height)


def _cost(box: Box, markers: Sequence[Box], labels: Sequence[Box]) -> float:
    """Return how bad a place is: a name over a name is unreadable, a name over a marker merely ugly."""
    covered = sum(_overlap(box, marker) for marker in markers) + 50 * sum(_overlap(box, label) for label in labels)
    outside = max(0.0, -(box.x - box.width) - _MARGIN, box.x + box.width - float(_PANEL[0]) - _MARGIN)
    return covered + 20 * outside


def _overlap(a: Box, b: Box) -> float:
    across = min(a.x + a.width, b.x + b.width) - max(a.x - a.width, b.x - b.width)
    along = min(a.y + a.height, b.y + b.height) - max(a.y - a.height, b.y - b.height)
    return max(0.0, across) * max(0.0, along)
