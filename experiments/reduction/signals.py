"""Do margins say more of a merge than right and wrong alone, from the same answers? On real merges.

    command    python -m experiments.reduction.signals MATRIX.parquet --genes 18 [--draws 8]
    cost       a minute on one core
    expected   README.md: from 6 to 36 items with signals, estimates correlate .02 to .1 more with the full accuracy

In a draw every merge answers as many random items of each task, and its accuracy on all items is estimated by the
pooled model (`fitness.estimation.pooled`) from right and wrong, and from these and their signals (`signal: margin`).
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
from experiments.reduction.pooled import Merges, covered
from experiments.reduction.tables import as_markdown
from fitness import ItemScores, Objective
from fitness.estimation.pooled import PooledResponses
from fitness.signals import signal_of

SIZES = (6, 12, 18, 36)
HEADER = (
    "items each",
    "estimate of",
    "right and wrong",
    "with signals",
    "gain (95 %)",
    "intervals hold",
    "with signals",
)

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Answers:
    """What random merges with known genes answered to all items."""

    merges: Merges
    signals: Floats  # (n, n_items)


def read_answers(matrix: Path, n_genes: int) -> Answers:
    """Return a matrix of `signals_matrix`; random merge number k has the k-th random genome of seed 0."""
    table = em.responses.read_matrix(matrix)
    rows = [(row, name.split()[1]) for row, name in enumerate(table.models) if name.startswith("random ")]
    items = tuple(item for item in table.items if ":signal/" not in item)
    place = {item: k for k, item in enumerate(table.items)}
    scores = np.asarray(table.scores, dtype=np.float64)[[row for row, _ in rows]]
    genes = np.array([stream(0, "reduce", number).random(n_genes) for _, number in rows])
    tasks = sorted({item.split("/")[0] for item in items})
    merges = Merges(genes, scores[:, [place[i] for i in items]], items, tuple(Objective(t, (t,)) for t in tasks))
    return Answers(merges, scores[:, [place[signal_of(i, i.split("/")[0])] for i in items]])


def draw(answers: Answers, n_items: int, rng: np.random.Generator) -> Floats:
    """Return (2, 3), without and with signals: correlations of the mean and of objectives, and intervals that hold."""
    merges, task_of = answers.merges, answers.merges.task_of
    tasks = np.array(list(task_of.values()))
    places = [np.flatnonzero(tasks == o.name) for o in merges.objectives]
    plain, both = [], []
    for right, signals in zip(merges.answers, answers.signals, strict=True):
        js = np.concatenate([rng.permutation(place)[: n_items // len(places)] for place in places])
        items = tuple(merges.items[j] for j in js)
        plain.append(ItemScores(items, right[js]))
        beside = tuple(signal_of(item, task_of[item]) for item in items)
        both.append(ItemScores((*items, *beside), np.concatenate([right[js], signals[js]])))
    truth, found = merges.truth(), []
    for scores in (plain, both):
        model = PooledResponses.fit(merges.genes, scores, merges.objectives, items=merges.items, task_of=task_of)
        estimate = model.candidates()
        of_mean = np.corrcoef(estimate.means.mean(axis=1), truth.mean(axis=1))[0, 1]
        of_each = [np.corrcoef(e, t)[0, 1] for e, t in zip(estimate.means.T, truth.T, strict=True)]
        found.append([of_mean, np.mean(of_each), covered(estimate, truth)[0]])
    return np.array(found)


def rows_of(answers: Answers, n_items: int, n_draws: int) -> list[tuple[str, ...]]:
    """Return two lines of the table: of the mean, and of the objectives."""
    drawn = [draw(answers, n_items, stream(k, "signals", str(n_items))) for k in range(n_draws)]
    found = np.array(drawn)  # (draws, 2, 3)
    mean = found.mean(axis=0)
    lines = []
    for column, name in enumerate(("mean", "objectives")):
        gains = found[:, 1, column] - found[:, 0, column]
        margin = 1.96 * gains.std(ddof=1) / np.sqrt(n_draws)
        held = [f"{100 * share:.0f} %" for share in mean[:, 2]] if column else ["", ""]
        gain = f"{gains.mean():+.3f} ± {margin:.3f}"
        lines.append((str(n_items), name, f"{mean[0, column]:.3f}", f"{mean[1, column]:.3f}", gain, *held))
    return lines


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("matrix", type=Path)
    parser.add_argument("--genes", type=int, required=True)
    parser.add_argument("--draws", type=int, default=8, help="of the items that are answered")
    arguments = parser.parse_args()
    answers = read_answers(arguments.matrix, arguments.genes)
    merges = answers.merges
    said = [np.corrcoef(answers.signals[:, k], merges.answers[:, k])[0, 1] for k in _varying(merges.answers)]
    title = f"{len(merges.genes)} merges, {len(merges.items)} items: correlation with the accuracy on all items"
    lines = [line for n in SIZES for line in rows_of(answers, n, arguments.draws)]
    print("\n".join(as_markdown(title, [HEADER, *lines])))
    print(f"\nan item's signal with being right, over merges: median correlation {np.median(said):.2f}")


def _varying(answers: Floats) -> NDArray[np.intp]:
    return np.flatnonzero(answers.std(axis=0) > 0.0)


if __name__ == "__main__":
    guarded(main)
