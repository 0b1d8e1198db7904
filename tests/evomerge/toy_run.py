"""Starting or resuming a toy campaign."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from evomerge.archive import Archive
from evomerge.campaign.campaign import Campaign
from evomerge.campaign.progress import Limits
from evomerge.optimisers.after_landmarks import AfterLandmarks
from evomerge.optimisers.cma.cma_es import CmaEsSearch
from evomerge.optimisers.gradient.descent import Descent
from evomerge.optimisers.gradient.descent_search import DescentSearch
from evomerge.optimisers.gradient.steppers import Adam
from evomerge.optimisers.greedy_soup import GreedySoupSearch
from evomerge.optimisers.map.amortised_pareto import AmortisedPareto
from evomerge.optimisers.map.nested_pareto import NestedPareto
from evomerge.optimisers.map.surrogates.predicted_front import FrontSearch
from evomerge.optimisers.niches.cycle_qd import CycleQD
from evomerge.optimisers.niches.m2n2 import M2N2Search
from evomerge.optimisers.problem import Problem
from evomerge.optimisers.protocol import Optimiser
from evomerge.optimisers.pymoo.pymoo_adapter import PymooOptimiser
from evomerge.optimisers.random_search import RandomSearch
from evomerge.optimisers.terrain import Length, Notes, NotesInMemory, Terrain
from evomerge.workers.in_process import InProcessPool
from evomerge.workers.protocol import WorkerPool
from search_spaces.spaces.niches.crossover import Crossover
from tests.evomerge.optimisers.bayes import quick
from tests.evomerge.optimisers.niches.breeding import genes
from tests.evomerge.toy import ToyEstimator, ToySpace, ToyWorker
from tests.evomerge.toy_niches import ToyNiches, toy_crossover


def toy_terrain() -> Terrain:
    """Return a bowl with another noise in every step."""
    centre = np.array([[0.8], [0.3]])

    def learn(values: np.ndarray, step: int) -> tuple[float, np.ndarray]:
        off = values - centre + 0.3 * np.random.default_rng(step).standard_normal((2, 1))
        return float((off**2).sum()), 2 * off

    held_back = lambda values: float(((values - centre) ** 2).sum())  # noqa: E731
    return Terrain((2, 1), np.zeros((1, 1)), np.ones((1, 1)), learn, held_back, lambda values: values.ravel())


def toy_descent(notes: Notes, **length: int) -> DescentSearch:
    whole = Length(**{"steps": 1000, "every": 3, "patience": 0, **length})
    return DescentSearch(Descent(toy_terrain, Adam(0.01), length=whole, initial="auto", notes=notes))


QUICK = FrontSearch(population=12, generations=4)
OPTIMISERS = {
    "cma_es": lambda: CmaEsSearch(2, weights={"sums": 1.0, "words": 1.0}, seed=3),
    "nsga2": lambda: PymooOptimiser(2, n_objectives=2, seed=3, population=8),
    "random": lambda: RandomSearch(2, seed=3),
    "bayes": lambda: quick.least(2, 3, weights={"sums": 1.0, "words": 1.0}),
    "m2n2": lambda: M2N2Search(toy_crossover(), seed=3, population=6),
    "niches": lambda: genes(dim=2, seed=3, population=6),
    "after_landmarks": lambda: AfterLandmarks(
        Problem(ToySpace(), 3, {"sums": 1.0, "words": 1.0}, 100),
        lambda problem: CmaEsSearch(2, weights=problem.weights, seed=3, x0=problem.given[0]),
        ToySpace().encode,
        n_landmarks=3,
    ),
}

# Optimisers that are killed in slow tests only.
MORE_OPTIMISERS = {
    "lq_cma_es": lambda: CmaEsSearch(2, weights={"sums": 1.0, "words": 1.0}, seed=3, lq=True),
    "map": lambda: AmortisedPareto(2, n_objectives=2, seed=3, search=QUICK),
    "nested_map": lambda: NestedPareto([(0.0, 1.0)] * 2, preference={"sums": 1, "words": 1}, seed=3, search=QUICK),
    "greedy_soup": lambda: GreedySoupSearch(
        lambda members: np.array([float(parent in members) for parent in range(2)]),
        n_parents=2,
        weights={"sums": 1.0, "words": 1.0},
        then=RandomSearch(2, seed=3),
    ),
    "cycle_qd": lambda: CycleQD(2, n_objectives=2, seed=3, children=5),
    "gradient": lambda: toy_descent(NotesInMemory()),
    "bipop": lambda: CmaEsSearch(2, weights={"sums": 1.0, "words": 1.0}, seed=3, population=4, restarts="bipop"),
    **{
        name: lambda name=name: PymooOptimiser(2, n_objectives=2, seed=3, algorithm=name)
        for name in ("nsga3", "moead", "sms_emoa", "de", "pso", "isres", "nelder_mead", "pattern_search")
    },
}


def campaign(archive: Archive, optimiser: Optimiser, pool: WorkerPool, evaluations: int, **options: object) -> Campaign:
    limits = Limits(evaluations)
    of_individuals = isinstance(optimiser, CycleQD) or isinstance(getattr(optimiser, "crossing", None), Crossover)
    space = ToyNiches() if of_individuals else ToySpace()
    return Campaign(archive, space, optimiser, estimator=ToyEstimator(), pool=pool, limits=limits, **options)


def run_toy(path: Path, name: str, evaluations: int, *, pool: WorkerPool | None = None, **options: object) -> str:
    """Start or resume, and close the archive."""
    archive = Archive.open(path) if path.exists() else Archive.create(path, "name: toy\n")
    try:
        pool = pool or InProcessPool(ToyWorker)
        optimiser = toy_descent(archive) if name == "gradient" else {**OPTIMISERS, **MORE_OPTIMISERS}[name]()
        return campaign(archive, optimiser, pool, evaluations, **options).run()
    finally:
        archive.close()
