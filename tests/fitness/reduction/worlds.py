"""Simulated benchmarks whose truth is known: merges of a few endpoints, on items with parameters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fitness.reduction.response_matrix import ResponseMatrix, TaskItems

Floats = NDArray[np.float64]
N_ENDPOINTS = 3
KINDS = ("linear", "non-linear", "guessing", "broken")


@dataclass(frozen=True, eq=False)
class World:
    """Models in rows, the endpoints first; items of two tasks take turns."""

    scores: Floats
    chances: Floats
    guessing: Floats

    def matrix(self, n_models: int | None = None) -> ResponseMatrix:
        scores = self.scores[:n_models]
        items = tuple(f"task{i % 2}/{i}" for i in range(scores.shape[1]))
        return ResponseMatrix(tuple(f"m{i}" for i in range(len(scores))), items, scores)

    @property
    def tasks(self) -> TaskItems:
        index = np.arange(self.scores.shape[1])
        shares = np.array([[0.5, 0.5]])
        return TaskItems(("task0", "task1"), (index[::2], index[1::2]), ("both",), shares, self.guessing)


ENDPOINTS = tuple(f"m{i}" for i in range(N_ENDPOINTS))


def world(kind: str, seed: int, *, n_models: int = 80, n_items: int = 200, dims: int = 2) -> World:
    """Draw a world: merges are mixtures of the endpoints' abilities, or bent (non-linear), or partly broken."""
    rng = np.random.default_rng([seed, KINDS.index(kind)])
    endpoints = rng.normal(0, 1.2, (N_ENDPOINTS, dims))
    shares = rng.dirichlet(np.ones(N_ENDPOINTS), n_models) * rng.uniform(0.6, 1.4, (n_models, 1))
    shares[:N_ENDPOINTS] = np.eye(N_ENDPOINTS)
    abilities = shares @ endpoints
    if kind == "non-linear":
        abilities[N_ENDPOINTS:] += rng.normal(0, 0.5, (n_models - N_ENDPOINTS, dims))
    eta = abilities @ rng.normal(1, 0.5, (dims, n_items)) + rng.normal(0, 1.5, n_items)
    chances = 1 / (1 + np.exp(-eta))
    guessing = np.full(n_items, 0.25 if kind == "guessing" else 0.0)
    chances = guessing + (1 - guessing) * chances
    if kind == "broken":
        broken = np.flatnonzero(rng.random(n_models) < 0.15)
        broken = broken[broken >= N_ENDPOINTS]
        chances[broken] = rng.uniform(0, 0.3, (len(broken), 1))
    return World((rng.random(chances.shape) < chances).astype(np.float64), chances, guessing)
