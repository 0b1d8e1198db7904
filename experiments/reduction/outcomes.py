"""From simulated searches to probabilities, and to the item evaluations that a good pick takes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from experiments.reduction.calibrations import Calibration
from experiments.reduction.draws import Benchmark, draw
from experiments.reduction.lines import Line, Search


@dataclass(frozen=True)
class Outcome:
    """One search by one strategy."""

    strategy: str  # name of its line
    candidates: int  # how many there were
    n: int  # the size that varies along the line
    regret: float  # macro-average on all items of the best candidate minus that of the pick
    evaluations: int  # item evaluations


@dataclass(frozen=True)
class Point:
    """A strategy at one size, over all its simulations."""

    strategy: str  # name of its line
    candidates: int  # how many there were
    n: int  # the size that varies along the line
    simulations: int  # searches
    probability: float  # share of them with a regret that is small enough
    low: float  # of its 95 % interval (Wilson)
    high: float  # of the same
    evaluations: float  # mean item evaluations
    calibration: int  # item evaluations that the response model took beforehand; 0 without one
    regret: float  # what 95 % of the searches do not exceed

    def times_fewer(self, n_items: int, *, calibrated: bool = False) -> float:
        """Return item evaluations of full evaluation per one of the strategy, its calibration included or not."""
        return self.candidates * n_items / (self.evaluations + self.calibration * calibrated)


def simulate(
    seed: int,
    *,
    benchmark: Benchmark,
    strategies: Sequence[Line],
    calibrations: Sequence[Calibration],
    counts: Sequence[int],
) -> list[Outcome]:
    """Let every strategy search once, at every size below the number of items, among the same candidates.

    Calibrations take turns by the seed; numbers of candidates beyond what there is are left out.
    """
    searches = {False: Search(draw(benchmark, benchmark.merges, seed))}
    if calibrations:
        calibration = calibrations[seed % len(calibrations)]
        searches[True] = Search(draw(benchmark, calibration.candidates, seed), calibration)
    everyone, found = benchmark.truth, []
    for line in strategies:
        search = searches[line.calibrated]
        truth = everyone[search.draw.rows]
        possible = [count for count in counts if count <= len(truth)]
        for n in line.sizes:
            if n < benchmark.n_items:
                for count, pick in zip(possible, line.run(search, n, possible), strict=True):
                    regret = float(truth[:count].max() - truth[pick.candidate])
                    found.append(Outcome(line.name, count, n, regret, pick.evaluations))
    return found


def gathered(outcomes: Iterable[Outcome], *, most_regret: float, calibration_of: Mapping[str, int]) -> list[Point]:
    """Return a point for every strategy, number of candidates and size, in the order of their first outcomes."""
    from scipy.stats import binomtest

    groups: dict[tuple[str, int, int], list[Outcome]] = {}
    for each in outcomes:
        groups.setdefault((each.strategy, each.candidates, each.n), []).append(each)
    points = []
    for (strategy, candidates, n), own in groups.items():
        regrets = np.array([each.regret for each in own])
        right = int(np.count_nonzero(regrets <= most_regret + 1e-9))
        interval = binomtest(right, len(own)).proportion_ci(0.95, method="wilson")
        points.append(
            Point(
                strategy,
                candidates,
                n,
                len(own),
                right / len(own),
                float(interval.low),
                float(interval.high),
                float(np.mean([each.evaluations for each in own])),
                calibration_of.get(strategy, 0),
                float(np.quantile(regrets, 0.95, method="inverted_cdf")),
            )
        )
    return points


def needed(points: Sequence[Point], strategy: str, candidates: int, confidence: float) -> Point | None:
    """Return the cheapest point of a line that is right often enough; None where none is."""
    own = [p for p in points if (p.strategy, p.candidates) == (strategy, candidates) and p.probability >= confidence]
    return min(own, key=lambda p: p.evaluations, default=None)


def affordable(points: Sequence[Point], strategy: str, candidates: int, evaluations: float) -> Point | None:
    """Return the point of a line that is right most often within so many item evaluations; None where none fits."""
    own = [p for p in points if (p.strategy, p.candidates) == (strategy, candidates) and p.evaluations <= evaluations]
    return max(own, key=lambda p: p.probability, default=None)
