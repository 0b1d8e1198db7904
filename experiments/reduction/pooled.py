"""What do a few answers say of a merge, when those of all merges are pooled over their genes? On real merges.

    command    python -m experiments.reduction.pooled [--draws 12]
    cost       five minutes on one core
    expected   README.md: with 18 random items of its own each, the pooled estimate of a merge correlates .85 with its
               score on all 882 items, where the mean of its answers correlates .55

The merges are the 304 random ones of `smollm_matrix.parquet`, whose genes are drawn anew from the campaign's seed. In a
draw each answers as many random items of each task; the estimate is of the mean over all items. Intervals are of each
objective and of the mean of the three.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import evomerge as em
from evomerge.seeds import stream
from experiments.printing import guarded
from experiments.reduction.tables import as_markdown
from fitness import ItemScores, Objective
from fitness.estimation.pooled import PooledResponses, Prediction

MATRIX = Path(__file__).parent / "smollm_matrix.parquet"
N_GENES = 18
HEADER = (
    "items each",
    "whose",
    "merges",
    "mean of the answers",
    "pooled",
    "pooled, genes only",
    "95 % intervals: objectives",
    "mean",
)

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Merges:
    """Random merges with known genes."""

    genes: Floats  # (n, 18)
    answers: Floats  # (n, n_items)
    items: tuple[str, ...]
    objectives: tuple[Objective, ...]

    @property
    def task_of(self) -> dict[str, str]:
        """Return item -> task."""
        return {item: item.split("/")[0] for item in self.items}

    def truth(self) -> Floats:
        """Return (n, n_objectives) scores on all items."""
        tasks = np.array(list(self.task_of.values()))
        return np.stack([self.answers[:, tasks == o.name].mean(axis=1) for o in self.objectives], axis=1)

    def of(self, rows: NDArray[np.intp]) -> Merges:
        """Return some of them."""
        return Merges(self.genes[rows], self.answers[rows], self.items, self.objectives)


def read_merges(matrix: Path = MATRIX) -> Merges:
    """Return the matrix's random merges; number k has the k-th random genome of `evomerge reduce` with seed 0."""
    table = em.responses.read_matrix(matrix)
    names = [(row, name.split()[1]) for row, name in enumerate(table.models) if name.startswith("random ")]
    genes = np.array([stream(0, "reduce", number).random(N_GENES) for _, number in names])
    tasks = dict.fromkeys(item.split("/")[0] for item in table.items)
    answers = np.asarray(table.scores, dtype=np.float64)[[row for row, _ in names]]
    return Merges(genes, answers, tuple(table.items), tuple(Objective(task, (task,)) for task in sorted(tasks)))


@dataclass(frozen=True)
class Draw:
    """How good the estimates of one draw are."""

    by_mean: float  # correlation with the full score
    pooled: float
    by_genes: float
    objectives_covered: float
    mean_covered: float


def draw(merges: Merges, n_items: int, *, own: bool, rng: np.random.Generator) -> Draw:
    """Let each merge answer items of its own, or all the same ones, and estimate everybody."""
    tasks = np.array(list(merges.task_of.values()))
    places = [np.flatnonzero(tasks == o.name) for o in merges.objectives]

    def chosen() -> NDArray[np.intp]:
        return np.concatenate([rng.permutation(place)[: n_items // len(places)] for place in places])

    common = chosen()
    asked = [chosen() if own else common for _ in merges.genes]
    scores = [ItemScores(tuple(merges.items[j] for j in js), merges.answers[i, js]) for i, js in enumerate(asked)]
    model = PooledResponses.fit(merges.genes, scores, merges.objectives, items=merges.items, task_of=merges.task_of)
    truth, found = merges.truth(), model.candidates()

    def correlation(estimate: Floats) -> float:
        return float(np.corrcoef(estimate, truth.mean(axis=1))[0, 1])

    return Draw(
        correlation(np.array([one.values.mean() for one in scores])),
        correlation(found.means.mean(axis=1)),
        correlation(model.objectives(merges.genes).means.mean(axis=1)),
        *covered(found, truth),
    )


def covered(found: Prediction, truth: Floats) -> tuple[float, float]:
    """Return how many 95 % intervals hold the truth: of objectives, and of their mean."""
    n = truth.shape[1]
    of_mean = np.abs((found.means - truth).mean(axis=1)) * n / np.sqrt((found.stderrs**2).sum(axis=1))
    return float((np.abs(found.means - truth) < 1.96 * found.stderrs).mean()), float((of_mean < 1.96).mean())


def row(merges: Merges, n_items: int, n_merges: int, n_draws: int, *, own: bool) -> tuple[str, ...]:
    """Return a line of the table: means over draws, standard deviations of correlations in brackets."""
    found = []
    for k in range(n_draws):
        rng = stream(k, "pooled", str(n_items), str(n_merges))
        some = merges.of(rng.permutation(len(merges.genes))[:n_merges])
        found.append(draw(some, n_items, own=own, rng=rng))
    columns = np.array([[d.by_mean, d.pooled, d.by_genes, d.objectives_covered, d.mean_covered] for d in found])
    mean, deviation = columns.mean(axis=0), columns.std(axis=0, ddof=1)
    correlations = [f"{m:.2f} ({s:.2f})" for m, s in zip(mean[:3], deviation[:3], strict=True)]
    shares = [f"{100 * m:.0f} %" for m in mean[3:]]
    return (str(n_items), "own" if own else "the same", str(n_merges), *correlations, *shares)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=12, help="of the items that are answered")
    n_draws = parser.parse_args().draws
    merges = read_merges()
    everybody = len(merges.genes)
    rows = [
        row(merges, n_items, n_merges, n_draws, own=own)
        for n_items, n_merges in ((6, everybody), (18, everybody), (60, everybody), (18, 60), (60, 60))
        for own in (True, False)
    ]
    print("\n".join(as_markdown("correlation with the score on all items", [HEADER, *rows])))


if __name__ == "__main__":
    guarded(main)
