"""When CMA-ES starts again, and how: population, step size and evaluations of each run.

IPOP: Auger and Hansen, "A restart CMA evolution strategy with increasing population size", CEC 2005. BIPOP: Hansen,
"Benchmarking a BI-population CMA-ES on the BBOB-2009 function testbed", GECCO 2009 workshop, section 2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

Strategy = Literal["same", "ipop", "bipop"]


@dataclass(frozen=True)
class Run:
    """One run of CMA-ES, from its start to its stop."""

    population: int  # genomes per generation
    sigma0: float  # initial step size
    evaluations: float | None = None  # after how many the run ends at the latest; None for no limit
    small: bool = False  # whether it is one of BIPOP's short runs with a small population


class Restarts:
    """Plans the runs of CMA-ES.

    same: every run is like the first. ipop: the population is multiplied by `factor` each time. bipop: large runs as
    with ipop, and small ones that start with a random smaller population and step size,

        population = floor(λ (λ_large / 2λ)^(u²)),    sigma = sigma0 · 10^(-2u'),    u, u' ~ U[0, 1),

    and end after half of the evaluations of the last large run. Whichever regime has used fewer evaluations is next;
    the first run, of `population` λ and `sigma0`, counts for neither. `factor` None is 2, or 1 with same.
    """

    def __init__(
        self, strategy: Strategy, *, population: int, sigma0: float, factor: int | None, rng: np.random.Generator
    ) -> None:
        self._factor = (1 if strategy == "same" else 2) if factor is None else factor
        self._bipop = strategy == "bipop"
        self._first = Run(population, sigma0)
        self._rng = rng
        self._current = self._first
        self._n_runs = 0
        self._n_large = 0
        self._used = {True: 0, False: 0}  # evaluations of small runs, and of large ones
        self._last_large = 0  # evaluations of the last large run

    def next_run(self, evaluations: int) -> Run:
        """Return the next run, after one that used so many evaluations; 0 before the first."""
        if self._n_runs == 0:
            self._n_runs = 1
            return self._first
        if self._n_runs > 1:
            self._used[self._current.small] += evaluations
        if not self._current.small:
            self._last_large = evaluations
        self._n_runs += 1
        small = self._bipop and self._n_large > 0 and self._used[True] < self._used[False]
        self._current = self._small_run() if small else self._large_run()
        return self._current

    def finer_run(self) -> Run:
        """Return a run for where the current one came to: twice the population, half the step."""
        self._n_runs += 1
        self._current = Run(2 * self._current.population, self._current.sigma0 / 2)
        return self._current

    def _large_run(self) -> Run:
        self._n_large += 1
        return Run(self._first.population * self._factor**self._n_large, self._first.sigma0)

    def _small_run(self) -> Run:
        default = self._first.population
        u, v = self._rng.random(2)
        largest = default * self._factor**self._n_large
        population = max(2, int(default * (largest / (2 * default)) ** (u * u)))
        return Run(population, self._first.sigma0 * 10.0 ** (-2 * v), self._last_large / 2, small=True)
