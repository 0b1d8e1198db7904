"""The merges, their true front on a grid, and one search of them."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import moocore
import numpy as np
import torch
from numpy.typing import NDArray

import evomerge as em
from experiments.digit_experts import Scorer, flat, new_network, splits, trained
from search_spaces import Groups, WeightSpace

Floats = NDArray[np.float64]
HIGHEST = 1.5  # weight of a task vector
# How many tasks -> points of the grid along each weight.
MERGES: Mapping[int, int] = {2: 61, 3: 21, 4: 11}
METHODS: Mapping[str, em.optimisers.OptimiserOptions] = {
    "map": em.optimisers.Map(),
    "nsga2": em.optimisers.Pymoo("nsga2", population=12),
    "random": em.optimisers.Random(),
}


@dataclass(frozen=True, eq=False)
class Truth:
    """Some experts, and the real scores of a grid of their merges."""

    seed: int
    scorer: Scorer
    base: torch.Tensor  # (n_weights,)
    vectors: torch.Tensor  # (n_tasks, n_weights) task vectors
    genomes: Floats  # (n_grid, n_tasks) in [0, 1]
    values: Floats  # (n_grid, n_tasks) accuracies

    def accuracies(self, genome: Floats) -> Floats:
        """Return the accuracies of one merge."""
        weights = torch.tensor(HIGHEST * genome, dtype=torch.float32)
        return self.scorer.accuracies(self.base + weights @ self.vectors)


@dataclass(frozen=True)
class Run:
    """One search."""

    tasks: int
    seed: int
    method: str
    hypervolumes: list[float]  # after each evaluation, as a share of the grid's
    # of the surrogates' accuracies over the grid, after the design and after all evaluations; empty for others
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
    optimiser: Any = METHODS[method].build(_problem(n_tasks, found.seed, evaluations))
    values, r2 = np.empty((0, n_tasks)), list[float]()
    # MAP's design has (n + 1)(n + 2) points.
    marks = [min((n_tasks + 1) * (n_tasks + 2), evaluations), evaluations] if method == "map" else []
    while len(values) < evaluations:
        for genome in optimiser.ask(1):
            scored = found.accuracies(genome)
            optimiser.tell([found.scorer.evaluation(len(values), genome, scored)])
            values = np.vstack([values, scored])
        r2 += [_r2(optimiser.predicted(found.genomes), found.values) for n in marks if n == len(values)]
    full = _hypervolume(found.values)
    volumes = [_hypervolume(values[: n + 1]) / full for n in range(evaluations)]
    return Run(n_tasks, found.seed, method, volumes, r2)


def _problem(n_tasks: int, seed: int, evaluations: int) -> em.optimisers.Problem:
    names = ["base", *(f"task {k + 1}" for k in range(n_tasks))]
    space = WeightSpace(
        {name: em.ParentSource(name) for name in names},
        "base",
        n_layers=1,
        operators=["task_arithmetic"],
        groups=Groups(1, ("all",)),
        genes={"weight": (0.0, HIGHEST)},
    )
    return em.optimisers.Problem(space, seed, dict.fromkeys(names[1:], 1.0), evaluations)


def _hypervolume(values: Floats) -> float:
    return float(moocore.hypervolume(values, ref=np.zeros(values.shape[1]), maximise=True))


def _r2(predicted: Floats, truth: Floats) -> float:
    return float(1.0 - ((predicted - truth) ** 2).sum() / ((truth - truth.mean(axis=0)) ** 2).sum())
