"""The strategies that the replay compares: one line of its figure each, with what is varied along it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from experiments.reduction.calibrations import Calibration
from experiments.reduction.draws import Draw
from experiments.reduction.strategies import FINALISTS, Pick, best_finalist, best_of, halving

Floats = NDArray[np.float64]
# What is made of a candidate's first n answers; reduced: other items, the estimator that suits them.
Source = Literal["mean", "p-irt", "gmp-irt", "reduced"]
SIZES = (3, 6, 9, 12, 18, 24, 36, 48, 72, 96, 144, 192, 288, 384, 576, 768)
FEW_SIZES = (6, 12, 24, 48, 96, 192, 384)


class Search:
    """A draw, with a response model, by merges that are no candidates, where there is one."""

    def __init__(self, draw: Draw, calibration: Calibration | None = None) -> None:
        self.draw = draw
        self._calibration = calibration
        self._known: dict[tuple[Source, int], Floats] = {}

    def estimates(self, source: Source, n: int) -> Floats:
        """Return (n_candidates,) estimates of the macro-average from n items; from all items it is the mean."""
        if (source, n) not in self._known:
            self._known[source, n] = self._estimates(source, n)
        return self._known[source, n]

    def _estimates(self, source: Source, n: int) -> Floats:
        if source == "mean" or n == self.draw.n_items:
            return self.draw.means(n)
        assert self._calibration is not None
        if source == "reduced":
            return self._calibration.reduced_estimates(self.draw.rows, n)
        return self._calibration.estimates(self.draw.rows, self.draw.columns[:n], source)


@dataclass(frozen=True)
class Line:
    """One strategy."""

    name: str  # says what is done; n is what varies
    sizes: tuple[int, ...]  # of n
    # what a search ends with at one size, for each of these numbers of candidates: the first so many
    run: Callable[[Search, int, Sequence[int]], list[Pick]]
    calibrated: bool = False  # whether it needs a response model
    slow: bool = False  # whether fewer simulations have to do


def lines(*, mixtures: bool) -> tuple[Line, ...]:
    """Return all strategies; those that mix the abilities of parents where these are known."""
    by_model = partial(Line, sizes=FEW_SIZES, calibrated=True, slow=True)
    mixed = (by_model("gmp-IRT from n items", run=partial(_estimate, "gmp-irt", best_of)),) if mixtures else ()
    return (
        Line("same n items", SIZES, partial(_estimate, "mean", best_of)),
        by_model("p-IRT from n items", run=partial(_estimate, "p-irt", best_of)),
        *mixed,
        by_model("reduced to n items", run=partial(_estimate, "reduced", best_of)),
        Line("halving from n items", SIZES, partial(_halve, "mean", 1)),
        Line(f"halving from n items, the best {FINALISTS} on all", SIZES, partial(_halve, "mean", FINALISTS)),
        by_model("halving by p-IRT from n items", run=partial(_halve, "p-irt", 1)),
        Line(f"n items, the best {FINALISTS} on all", SIZES, partial(_estimate, "mean", best_finalist)),
        by_model(f"p-IRT from n items, the best {FINALISTS} on all", run=partial(_estimate, "p-irt", best_finalist)),
    )


def _estimate(
    source: Source, then: Callable[[Draw, int, Floats], Pick], search: Search, n: int, counts: Sequence[int]
) -> list[Pick]:
    estimates = search.estimates(source, n)
    return [then(search.draw.first(count), n, estimates[:count]) for count in counts]


def _halve(source: Source, finalists: int, search: Search, n: int, counts: Sequence[int]) -> list[Pick]:
    estimates = partial(search.estimates, source)
    return [halving(search.draw.first(count), n, estimates, finalists=finalists) for count in counts]
