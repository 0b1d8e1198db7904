"""One evolution: its method, its seed, and how well its best member reads digits that it never saw."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from threadpoolctl import threadpool_limits

import evomerge as em
from experiments.m2n2_digits.network import SCALE, Network, halves, load, new_networks

Start = Literal["scratch", "pretrained"]
CURVE_EVERY = 100

METHODS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "m2n2": {},
        "no_attraction": {"competition": em.Competition(attraction="none")},
        "no_split": {"split": "none"},
        "ga": {"competition": em.Competition(alpha=0.0, attraction="none")},
    }
)
"""Method -> what is not M2N2's default; the names and meanings are those of the released ablations."""


@dataclass(frozen=True)
class Run:
    """One evolution's outcome."""

    method: str
    seed: int
    test_accuracy: float  # of the member that reads most training digits, on the 360 test digits, at the end
    evaluations_per_second: float  # children made, scored on the 1,437 training digits and learnt from
    curve: tuple[tuple[int, float], ...]  # (evaluations, test accuracy) every hundred evaluations


def run(start: Start, method: str, seed: int, evaluations: int, *, parents: Sequence[Network] | None = None) -> Run:
    """Evolve a population of 20, from `parents` or from two networks of the seed's.

    From scratch these know nothing, and children mutate; pretrained ones know half of the digits each, and do not.
    """
    train, test = load()
    if parents is None:
        parents = new_networks(seed) if start == "scratch" else halves(seed, train)
    curve: list[tuple[int, float]] = []
    network = Network(seed=0)
    evolution = em.ModuleEvolution(
        network,
        [parent.state_dict() for parent in parents],
        lambda _: network.correct(train),
        seed=seed,
        mutation=SCALE if start == "scratch" else 0.0,
        **METHODS[method],
    )
    # torch's threads wait for work beside numpy's if both have some.
    with threadpool_limits(1, user_api="blas"):
        began = time.perf_counter()
        for done in range(1 - len(parents), evaluations + 1):
            evolution.step()
            if done > 0 and (done % CURVE_EVERY == 0 or done == evaluations):
                evolution.become(evolution.best.individual)
                curve.append((done, float(network.correct(test).mean())))
        seconds = time.perf_counter() - began
    return Run(method, seed, curve[-1][1], evaluations / seconds, tuple(curve))
