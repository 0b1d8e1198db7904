"""Sixteen networks and the soups that are made of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

import evomerge as em
from experiments.digit_experts import Digits, Scorer, flat, new_network, splits, trained
from search_spaces import Groups, WeightSpace

Floats = NDArray[np.float64]
N = 16
TASKS = (range(0, 10, 2), range(1, 10, 2))
OBJECTIVES = {"task 1": 1.0, "task 2": 1.0}
Form = Literal["free", "simplex", "affine"]
SEARCHES: Mapping[str, tuple[Form, em.optimisers.OptimiserOptions]] = {
    "greedy": ("free", em.optimisers.GreedySoup()),
    "CMA-ES, simplex": ("simplex", em.optimisers.CmaEs()),
    "CMA-ES, affine": ("affine", em.optimisers.CmaEs(sigma0=0.05)),
    "CMA-ES, free weights over their sum": ("free", em.optimisers.CmaEs()),
}
KINDS = ("best single", "uniform", *SEARCHES)


@dataclass(frozen=True)
class Soup:
    """One soup.

    Attributes:
        weights: of the networks, worst to best alone; they sum to 1.
        search, test: macro-averages of the tasks.
        evaluations: how many soups were scored to find it.
    """

    kind: str
    seed: int
    weights: list[float]
    search: float
    test: float
    evaluations: int


def networks(seed: int, train: Digits) -> torch.Tensor:
    """Return (16, n_weights) networks fine-tuned from one start: rates, steps and data differ, some are poor."""
    rng = np.random.default_rng(seed)
    start = trained(flat(new_network(seed)), train, steps=80, rate=1e-3, seed=seed)
    found = []
    for k in range(N):
        digits = train.of(rng.permutation(10)[: rng.integers(4, 9)].tolist())
        some = digits.part(torch.from_numpy(rng.permutation(len(digits.labels))[: rng.integers(100, 400)]))
        rate, steps = 10 ** rng.uniform(-3.5, -2.3), int(rng.integers(20, 300))
        found.append(trained(start, some, steps=steps, rate=rate, seed=k))
    return torch.stack(found)


def soups(seed: int, evaluations: int) -> list[Soup]:
    """Return every kind of soup of one seed's networks."""
    train, search, test = splits(seed)
    checkpoints = networks(seed, train)
    scorer, judge = Scorer(search, TASKS), Scorer(test, TASKS)
    alone = [float(scorer.accuracies(network).mean()) for network in checkpoints]
    checkpoints = checkpoints[np.argsort(alone, kind="stable").tolist()]

    def merged(weights: Floats) -> torch.Tensor:
        return torch.tensor(weights, dtype=torch.float32) @ checkpoints

    def soup(kind: str, weights: Floats, n: int) -> Soup:
        scores = [float(each.accuracies(merged(weights)).mean()) for each in (scorer, judge)]
        return Soup(kind, seed, weights.tolist(), scores[0], scores[1], n)

    def best(form: Form, options: em.optimisers.OptimiserOptions) -> tuple[Floats, int]:
        """Return the weights with the highest search score, and the number of evaluations."""
        space = _space(form)
        optimiser = options.build(em.optimisers.Problem(space, seed, OBJECTIVES, evaluations))
        found: list[tuple[float, Floats]] = []
        while len(found) < evaluations and len(genomes := optimiser.ask(1)):
            weights = np.array([each.parameters["weight"] for each in space.decode(genomes[0]).rules[0].inputs])
            weights = weights / weights.sum()
            values = scorer.accuracies(merged(weights))
            optimiser.tell([scorer.evaluation(len(found), genomes[0], values)])
            found.append((float(values.mean()), weights))
        return max(found, key=lambda pair: pair[0])[1], len(found)

    alone_and_all = [soup("best single", np.eye(N)[-1], N), soup("uniform", np.full(N, 1 / N), 1)]
    return [*alone_and_all, *(soup(kind, *best(*search)) for kind, search in SEARCHES.items())]


def _space(form: Form) -> WeightSpace:
    """Return averages of all networks, one weight each, or one fewer where they sum to 1."""
    sources = {f"network {k}": em.ParentSource(f"network {k}") for k in range(N)}
    genes = {"weight": (0.0, 1.0)} if form == "free" else {}
    return WeightSpace(
        sources,
        "network 0",
        n_layers=1,
        operators=["linear"],
        groups=Groups(1, ("all",)),
        genes=genes,
        merge_base=True,
        weights=form,
    )
