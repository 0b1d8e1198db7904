"""Sixteen networks and the soups that are made of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from evomerge.optimisers.cma.cma_es import CmaEsSearch
from evomerge.optimisers.greedy_soup import GreedySoupSearch
from evomerge.optimisers.protocol import Optimiser
from experiments.digit_experts import Digits, Scorer, flat, new_network, splits, trained
from search_spaces.spaces.soup_weights import REACH, Form, SoupWeights

Floats = NDArray[np.float64]
N = 16
TASKS = (range(0, 10, 2), range(1, 10, 2))
OBJECTIVES = {"task 1": 1.0, "task 2": 1.0}
KINDS = ("best single", "uniform", "greedy", "CMA-ES, simplex", "CMA-ES, affine", "CMA-ES, free weights over their sum")


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

    def best(optimiser: Optimiser[Floats], weights_of: Callable[[Floats], Floats], most: int) -> tuple[Floats, int]:
        """Return the weights with the highest search score, and the number of evaluations."""
        found: list[tuple[float, Floats]] = []
        while len(found) < most and len(genomes := optimiser.ask(1)):
            weights = weights_of(genomes[0])
            values = scorer.accuracies(merged(weights))
            optimiser.tell([scorer.evaluation(len(found), genomes[0], values)])
            found.append((float(values.mean()), weights))
        return max(found, key=lambda pair: pair[0])[1], len(found)

    greedy = GreedySoupSearch(_members, n_parents=N, weights=OBJECTIVES)
    made = [
        soup("best single", np.eye(N)[-1], N),
        soup("uniform", np.full(N, 1 / N), 1),
        soup("greedy", *best(greedy, lambda genome: genome / genome.sum(), 2 * N)),
    ]
    for form, sigma0 in (("simplex", 1 / 6), ("affine", 0.05)):
        cma = CmaEsSearch(N - 1, weights=OBJECTIVES, seed=seed, sigma0=sigma0)
        made.append(soup(f"CMA-ES, {form}", *best(cma, _decoder(form), evaluations)))  # type: ignore[arg-type]
    cma = CmaEsSearch(N, weights=OBJECTIVES, seed=seed)
    free = best(cma, lambda genome: genome / max(genome.sum(), 1e-9), evaluations)
    return [*made, soup("CMA-ES, free weights over their sum", *free)]


def _members(members: tuple[int, ...]) -> Floats:
    genome = np.zeros(N)
    genome[list(members)] = 1.0
    return genome


def _decoder(form: Form) -> Callable[[Floats], Floats]:
    made = SoupWeights(form, tuple(map(str, range(N))))
    return lambda genome: np.array(made.weights((REACH[form] * (2 * genome - 1)).tolist()))
