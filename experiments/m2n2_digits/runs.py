"""One evolution: its method, its seed, and how well its best member reads digits that it never saw."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits
from torch import nn

import evomerge as em
from experiments.m2n2_digits.baselines import Baseline, MapElites, SepCma
from experiments.m2n2_digits.network import SCALE, Digits, Network, halves, load, new_networks
from search_spaces.recipes.flat_layout import FlatLayout
from search_spaces.spaces.niches.stored_crossover import StoredCrossover

Start = Literal["scratch", "pretrained"]
CURVE_EVERY = 100

_GA = em.Competition(alpha=0.0, attraction="none")
METHODS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "m2n2": {},
        "no_attraction": {"competition": em.Competition(attraction="none")},
        "no_split": {"split": "none"},
        "ga": {"competition": _GA},
    }
)
"""Method -> what is not M2N2's default; the names and meanings are those of the released ablations."""
MUTANTS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {"no_crossover": {"recombines": False}, "ga_no_crossover": {"competition": _GA, "recombines": False}}
)
"""The same where children mutate: from scratch."""
BASELINES = ("map_elites", "sep_cma_es")
"""Other algorithms of the paper's figure (`baselines`); sep_cma_es from scratch only."""


@dataclass(frozen=True)
class Run:
    """One evolution's outcome."""

    method: str
    seed: int
    test_accuracy: float  # of the member that reads most training digits, on the 360 test digits, at the end
    evaluations_per_second: float  # children made, scored on the 1,437 training digits and learnt from
    curve: tuple[tuple[int, float], ...]  # (evaluations, test accuracy) every hundred evaluations


def methods_of(start: Start) -> tuple[str, ...]:
    """Return the methods that there are from a start."""
    return (*METHODS, *MUTANTS, *BASELINES) if start == "scratch" else (*METHODS, BASELINES[0])


def kept(directory: Path | None, start: Start, method: str, seed: int, evaluations: int) -> Run:
    """Return what `run` does, or what a directory has of it; it is kept there."""
    if directory is None:
        return run(start, method, seed, evaluations)
    path = directory / f"{start}-{method}-{seed}-{evaluations}.json"
    if not path.exists():
        directory.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(run(start, method, seed, evaluations))))
    found = json.loads(path.read_text())
    return Run(**{**found, "curve": tuple((int(n), accuracy) for n, accuracy in found["curve"])})


def run(start: Start, method: str, seed: int, evaluations: int, *, parents: Sequence[Network] | None = None) -> Run:
    """Evolve a population of 20, from `parents` or from two networks of the seed's.

    From scratch these know nothing, and children mutate; pretrained ones know half of the digits each, and do not.
    """
    train, test = load()
    if parents is None:
        parents = new_networks(seed) if start == "scratch" else halves(seed, train)
    curve: list[tuple[int, float]] = []
    network = Network(seed=0)
    mutation = SCALE if start == "scratch" else 0.0
    search = _baseline if method in BASELINES else _evolution
    step, become_best, n_first = search(method, network, parents, train, seed=seed, mutation=mutation)
    # torch's threads wait for work beside numpy's if both have some.
    with threadpool_limits(1, user_api="blas"):
        began = time.perf_counter()
        for done in range(1 - n_first, evaluations + 1):
            step()
            if done > 0 and (done % CURVE_EVERY == 0 or done == evaluations):
                become_best()
                curve.append((done, float(network.correct(test).mean())))
        seconds = time.perf_counter() - began
    return Run(method, seed, curve[-1][1], evaluations / seconds, tuple(curve))


Search = tuple[Callable[[], None], Callable[[], None], int]  # a step, becoming the best, and steps that are not counted


def _evolution(
    method: str, network: Network, parents: Sequence[Network], train: Digits, *, seed: int, mutation: float
) -> Search:
    evolution = em.ModuleEvolution(
        network,
        [parent.state_dict() for parent in parents],
        lambda _: network.correct(train),
        seed=seed,
        mutation=mutation,
        **{**METHODS, **MUTANTS}[method],
    )
    return evolution.step, lambda: evolution.become(evolution.best.individual), len(parents)


def _baseline(
    method: str, network: Network, parents: Sequence[Network], train: Digits, *, seed: int, mutation: float
) -> Search:
    vectors = tuple(nn.utils.parameters_to_vector(p.parameters()).detach().numpy() for p in parents)
    layout = FlatLayout(("all",), (vectors[0].size,))
    made: Baseline = (
        SepCma(layout.size, SCALE, seed=seed)
        if method == "sep_cma_es"
        else MapElites(StoredCrossover(vectors, layout, mutation=mutation), train.labels.numpy() % 2 == 1, seed=seed)
    )

    def become(weights: NDArray[np.float32]) -> None:
        with torch.no_grad():
            nn.utils.vector_to_parameters(torch.from_numpy(weights.copy()), network.parameters())

    def step() -> None:
        become(made.ask())
        made.tell(network.correct(train))

    return step, lambda: become(made.best), 0 if method == "sep_cma_es" else len(parents)
