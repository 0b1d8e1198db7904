"""Do items that some answer right and others wrong say more of a merge than balanced ones? On real merges.

    command    python -m experiments.reduction.telling [--draws 24] [--merges 80] [--items 18]
    cost       five minutes on one core
    expected   README.md: a little more of all merges, and no better pick, so `own_items` deals out balanced items

An answer that is right with chance p tells p (1 - p) of an ability, its Fisher information in the Rasch model (Lord,
Applications of Item Response Theory, 1980): next to nothing where all are right, or wrong. Of an item that some have
answered, what is expected of p (1 - p) is that of a beta distribution. Telling items are drawn with chances in
proportion to it, so that all come up at times (Efraimidis and Spirakis, Information Processing Letters 97, 2006).

Random merges of `smollm_matrix.parquet` come one after the other, as in a search, each with items of its own; in the
end all are estimated by the pooled model. The first 24 are dealt balanced items either way, as landmarks are.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence

import numpy as np
from scipy import stats

from evomerge.schedules.blocks import Blocks, shares
from evomerge.seeds import stream
from experiments.printing import guarded
from experiments.reduction.pooled import Floats, Merges, covered, read_merges
from experiments.reduction.tables import as_markdown
from fitness import ItemScores
from fitness.estimation.pooled import PooledResponses

BALANCED_FIRST = 24
_BEFORE = 2.0  # answers that an item's task counts for, before its own ones
HEADER = ("items", "r with all items", "rmse, points", "pick below the best, points", "bias, points", "in intervals")


class TellingItems:
    """Draws items for one candidate after the other, each task's share of them.

    Args:
        items: what is drawn from.
        task_of: item -> task.
        size: items per candidate, from the number of tasks to that of the items.
        seed: of the draws, at least 0.
    """

    def __init__(self, items: Sequence[str], task_of: Mapping[str, str], size: int, *, seed: int) -> None:
        self._items, self._seed = tuple(items), seed
        self._place = {item: place for place, item in enumerate(self._items)}
        places: dict[str, list[int]] = {}
        for place, item in enumerate(self._items):
            places.setdefault(task_of[item], []).append(place)
        of_task = shares({task: len(own) for task, own in places.items()}, size)
        self._tasks = [(np.array(own), of_task[task]) for task, own in places.items()]
        self._answers, self._right = np.zeros((2, len(self._items)))

    def add(self, scores: ItemScores) -> None:
        """Take in what a candidate answered; scores outside of [0, 1] count as the nearer end."""
        known = [(self._place[item], k) for k, item in enumerate(scores.item_ids) if item in self._place]
        places, rows = np.array(known, dtype=np.intp).reshape(len(known), 2).T
        self._answers[places] += 1.0
        self._right[places] += np.clip(scores.values[rows], 0.0, 1.0)

    def of(self, index: int) -> tuple[str, ...]:
        """Return the items of a candidate, counted from 0, as seen from the answers so far; in the order of all."""
        luck = stream(self._seed, "telling items", str(index)).exponential(size=len(self._items))
        drawn = [own[np.argsort(luck[own] / self._expected(own), kind="stable")[:n]] for own, n in self._tasks]
        return tuple(self._items[place] for place in np.sort(np.concatenate(drawn)).tolist())

    def _expected(self, own: np.ndarray) -> Floats:
        """Return what answers to a task's items are expected to tell, above 0."""
        answers, right = self._answers[own], self._right[own]
        share = (right.sum() + 1.0) / (answers.sum() + 2.0)
        a, b = right + _BEFORE * share, answers - right + _BEFORE * (1.0 - share)
        return np.asarray(a * b / ((a + b) * (a + b + 1.0)))


def draw(merges: Merges, n_items: int, *, telling: bool, seed: int) -> Floats:
    """Return what the columns of `HEADER` say of one search."""
    blocks = Blocks(merges.items, merges.task_of, n_items, seed=seed, name="own items")
    deck = TellingItems(merges.items, merges.task_of, n_items, seed=seed)
    place = {item: j for j, item in enumerate(merges.items)}
    scores = []
    for i, answers in enumerate(merges.answers):
        asked = deck.of(i) if telling and i >= BALANCED_FIRST else blocks.of(i)
        scores.append(ItemScores(asked, answers[[place[item] for item in asked]]))
        deck.add(scores[-1])
    model = PooledResponses.fit(merges.genes, scores, merges.objectives, items=merges.items, task_of=merges.task_of)
    found, truth = model.candidates(), merges.truth()
    estimate, score = found.means.mean(axis=1), truth.mean(axis=1)
    return np.array(
        [
            np.corrcoef(estimate, score)[0, 1],
            100 * np.sqrt(np.mean((estimate - score) ** 2)),
            100 * (score.max() - score[estimate.argmax()]),
            100 * (estimate - score).mean(),
            covered(found, truth)[0],
        ]
    )


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=24, help="searches")
    parser.add_argument("--merges", type=int, default=80, help="candidates of each")
    parser.add_argument("--items", type=int, default=18, help="that each of them answers")
    arguments = parser.parse_args()
    merges = read_merges()
    pairs = []
    for seed in range(arguments.draws):
        some = merges.of(stream(seed, "telling").permutation(len(merges.genes))[: arguments.merges])
        pairs.append([draw(some, arguments.items, telling=telling, seed=seed) for telling in (False, True)])
    balanced, telling = np.array(pairs).transpose(1, 0, 2)
    rows = [HEADER, ("balanced", *_cells(balanced)), ("telling", *_cells(telling))]
    rows.append(("telling, less balanced", *_cells(telling - balanced)))
    print("\n".join(as_markdown("means and 95 % intervals over searches", rows)))


def _cells(found: Floats) -> list[str]:
    """Return cells of (searches, columns) numbers."""
    mean, n = found.mean(axis=0), len(found)
    reach = stats.t.ppf(0.975, n - 1) * found.std(axis=0, ddof=1) / np.sqrt(n)
    return [f"{m:.2f} ± {r:.2f}" for m, r in zip(mean, reach, strict=True)]


if __name__ == "__main__":
    guarded(main)
