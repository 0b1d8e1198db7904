"""The merges, their true front on a grid, and one search of them."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import moocore
import numpy as np
import torch
from numpy.typing import NDArray

from evomerge.candidate import Evaluation
from evomerge.optimisers.map.amortised_pareto import AmortisedPareto, design_size
from evomerge.optimisers.map.surrogates.objectives import fit_objectives, measured
from evomerge.optimisers.protocol import Optimiser
from evomerge.optimisers.pymoo.pymoo_adapter import PymooOptimiser
from evomerge.optimisers.random_search import RandomSearch
from experiments.digit_experts import Scorer, flat, new_network, splits, trained

Floats = NDArray[np.float64]
HIGHEST = 1.5  # weight of a task vector
# How many tasks -> points of the grid along each weight.
MERGES: Mapping[int, int] = {2: 61, 3: 21, 4: 11}
METHODS = ("map", "nsga2", "random")


@dataclass(frozen=True, eq=False)
class Truth:
    """Some experts, and the real scores of a grid of their merges.

    Attributes:
        base: (n_weights,).
        vectors: (n_tasks, n_weights) task vectors.
        genomes: (n_grid, n_tasks) in [0, 1].
        values: (n_grid, n_tasks) accuracies.
    """

    seed: int
    scorer: Scorer
    base: torch.Tensor
    vectors: torch.Tensor
    genomes: Floats
    values: Floats

    def accuracies(self, genome: Floats) -> Floats:
        """Return the accuracies of one merge."""
        weights = torch.tensor(HIGHEST * genome, dtype=torch.float32)
        return self.scorer.accuracies(self.base + weights @ self.vectors)


@dataclass(frozen=True)
class Run:
    """One search.

    Attributes:
        hypervolumes: after each evaluation, as a share of the grid's.
        r2: of the surrogates' accuracies over the grid, after the design and after all evaluations; empty for others.
    """

    tasks: int
    seed: int
    method: str
    hypervolumes: list[float]
    r2: list[float]


def truth(n_tasks: int, seed: int) -> Truth:
    """Train a base and its experts, and score the grid."""
    train, search, _ = splits(seed)
    base = trained(flat(new_network(seed)), train, steps=60, rate=1e-3, seed=seed)
    tasks = [list(range(10))[k::n_tasks] for k in range(n_tasks)]
    experts = [trained(base, train.of(task), steps=150, rate=1e-3, seed=seed + k) for k, task in enumerate(tasks)]
    scorer, vectors = Scorer(search, tasks), torch.stack(experts) - base
    side = np.linspace(0, 1, MERGES[n_tasks])
    genomes = np.array(list(itertools.product(side, repeat=n_tasks)))
    found = Truth(seed, scorer, base, vectors, genomes, np.empty((0, n_tasks)))
    values = np.array([found.accuracies(genome) for genome in genomes])
    return Truth(seed, scorer, base, vectors, genomes, values)


def run(found: Truth, method: str, evaluations: int) -> Run:
    """Search the merges; every optimiser sees the same items."""
    n_tasks = found.values.shape[1]
    optimiser = _optimiser(method, n_tasks, found.seed)
    told: list[Evaluation] = []
    while len(told) < evaluations:
        for genome in optimiser.ask(1):
            told.append(found.scorer.evaluation(len(told), genome, found.accuracies(genome)))
            optimiser.tell(told[-1:])
    values = np.array([[o.value for o in each.estimate.objectives] for each in told])
    full = _hypervolume(found.values)
    r2 = [_r2(found, told[:n]) for n in (design_size(n_tasks), evaluations)] if method == "map" else []
    volumes = [_hypervolume(values[: n + 1]) / full for n in range(evaluations)]
    return Run(n_tasks, found.seed, method, volumes, r2)


def _optimiser(method: str, dim: int, seed: int) -> Optimiser[Floats]:
    if method == "map":
        return AmortisedPareto(dim, n_objectives=dim, seed=seed)
    if method == "random":
        return RandomSearch(dim, seed=seed)
    return PymooOptimiser(dim, n_objectives=dim, seed=seed, population=12, starts=[[0.5] * dim])


def _hypervolume(values: Floats) -> float:
    return float(moocore.hypervolume(values, ref=np.zeros(values.shape[1]), maximise=True))


def _r2(found: Truth, told: list[Evaluation]) -> float:
    predicted = fit_objectives(measured(told)).values(found.genomes)
    missed = ((predicted - found.values) ** 2).sum()
    return float(1.0 - missed / ((found.values - found.values.mean(axis=0)) ** 2).sum())
