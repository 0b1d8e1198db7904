"""What one simulated search sees: some candidates of a full response matrix, in some order, and items in theirs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import evomerge as em
from fitness import FitnessError, ResponseMatrix, Splits, TaskItems

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Benchmark:
    """A full response matrix; every task is an objective."""

    matrix: ResponseMatrix  # of models that answered every item
    tasks: TaskItems  # of the matrix's items
    merges: Indices  # rows of the models that a search could propose
    parents: Indices  # rows of the others

    @property
    def truth(self) -> Floats:
        """Return the (n_models,) macro-averages on all items."""
        return np.asarray(self.tasks.full_scores(self.matrix.scores).mean(axis=1))

    @property
    def n_items(self) -> int:
        """Return how many items there are."""
        return len(self.matrix.items)


@dataclass(frozen=True, eq=False)
class Draw:
    """One search: the candidates' answers, in the order in which they are asked and in the items' seeded order."""

    scores: Floats  # (n_candidates, n_items)
    task: Indices  # (n_items,) number of each item's task
    items: tuple[str, ...]  # (n_items,) ids
    rows: Indices  # (n_candidates,) rows of the benchmark
    columns: Indices  # (n_items,) columns of the benchmark

    @property
    def n_items(self) -> int:
        """Return how many items there are."""
        return len(self.items)

    def first(self, n: int) -> Draw:
        """Return the search that ends after n candidates."""
        return Draw(self.scores[:n], self.task, self.items, self.rows[:n], self.columns)

    def means(self, n: int, candidates: Indices | None = None) -> Floats:
        """Return macro-averages over tasks on the first n items, of all candidates or of some."""
        task = self.task[:n]
        counts = np.bincount(task)
        weights = 1.0 / (counts[task] * np.count_nonzero(counts))
        scores = self.scores if candidates is None else self.scores[candidates]
        return np.asarray(scores[:, :n] @ weights)


def read_benchmark(path: Path, parents: Sequence[str]) -> Benchmark:
    """Read a matrix, a file or a directory of rows; models that lack an answer are left out, parents no candidates."""
    found = em.responses.read_matrix(path)
    whole = np.flatnonzero(np.isfinite(found.scores).all(axis=1))
    models = tuple(found.models[int(row)] for row in whole)
    if unknown := [name for name in parents if name not in models]:
        some = ", ".join(models[:8])
        raise FitnessError(f"--parents: expected models of {path}, found {unknown[0]!r}; its first are {some}")
    matrix = ResponseMatrix(models, found.items, found.scores[whole])
    names = np.array([item.split("/")[0] for item in found.items])
    tasks = tuple(dict.fromkeys(names.tolist()))
    shares = np.eye(len(tasks))
    places = tuple(np.flatnonzero(names == task) for task in tasks)
    is_parent = np.isin(models, list(parents))
    if np.count_nonzero(~is_parent) < 10:
        raise FitnessError(f"{path}: expected at least ten merges with an answer to every item, found fewer")
    return Benchmark(
        matrix,
        TaskItems(tasks, places, tasks, shares, np.zeros(len(found.items))),
        np.flatnonzero(~is_parent),
        np.flatnonzero(is_parent),
    )


def draw(benchmark: Benchmark, candidates: Indices, seed: int) -> Draw:
    """Return one search over these rows: a random order of candidates, and a campaign's order of all items."""
    rng = np.random.default_rng(seed)
    of_task = {
        name: [benchmark.matrix.items[int(i)].partition("/")[2] for i in places]
        for name, places in zip(benchmark.tasks.names, benchmark.tasks.items, strict=True)
    }
    items = Splits.draw_by_place(of_task, shares={"search": 1.0}, seed=seed).items["search"]
    place = {item: i for i, item in enumerate(benchmark.matrix.items)}
    columns = np.array([place[item] for item in items], dtype=np.intp)
    number = {name: t for t, name in enumerate(benchmark.tasks.names)}
    task = np.array([number[item.split("/")[0]] for item in items], dtype=np.intp)
    rows = rng.permutation(candidates)
    return Draw(benchmark.matrix.scores[np.ix_(rows, columns)], task, items, rows, columns)
