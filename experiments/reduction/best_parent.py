"""Which "best parent" may a winner be compared with? The reasons for `evomerge.results.verification.standing`.

    command    python -m experiments.reduction.best_parent
    cost       ten seconds
    expected   equal parents: intervals against the parent that is best on the test items cover 94, 88, 81 % with 3, 8,
               16 parents, and lie too low; against the one that is best on validation items they cover 95 %. But one
               parent that is as good as the merge, four worse ones and few validation items to find it with: "better
               than the parent that is best on validation items" is false in 20 %, "better than every parent" in 1 to 2
               of 100 campaigns. So the table compares with the former, and the verdict is about the latter.

Items are answered right with chance sigmoid(ability - difficulty), difficulty ~ N(0, 1.5).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

import evomerge as em
from fitness import Difference, Objective, PairedComparison

N_TEST = 400
CAMPAIGNS = 600
ITEMS = tuple(f"a/{i}" for i in range(N_TEST))
COMPARISON = PairedComparison((Objective("a", ("a",)),), dict.fromkeys(ITEMS, "a"))


@dataclass(frozen=True)
class Simulated:
    """One campaign: the winner's differences to each parent on test items, and which parent would be called best."""

    differences: tuple[Difference, ...]
    best_on_test: int
    best_on_validation: int


def simulate(parents: NDArray[np.float64], winner: float, *, n_validation: int, seed: int) -> list[Simulated]:
    """Simulate campaigns of parents of (n,) abilities and one winner; validation items choose the best parent."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(CAMPAIGNS):
        validation = _answers(rng, parents, n_validation)
        test = _answers(rng, np.append(parents, winner), N_TEST)
        scores = [em.ItemScores(ITEMS, row) for row in test]
        differences = tuple(COMPARISON.of_means(scores[-1], other) for other in scores[:-1])
        best = [int(answers.mean(axis=1).argmax()) for answers in (test[:-1], validation)]
        found.append(Simulated(differences, *best))
    return found


def main() -> None:
    """Print both parts."""
    for n in (3, 8, 16):
        runs = simulate(np.zeros(n), 0.0, n_validation=N_TEST, seed=n)
        for name in ("best_on_test", "best_on_validation"):
            against = [run.differences[getattr(run, name)] for run in runs]
            covered = np.mean([d.low <= 0.0 <= d.high for d in against])
            mean = np.mean([d.value for d in against])
            print(f"{n} equal parents, {name}: intervals cover {covered:.3f}, mean difference {mean:+.4f}")
    for lead in (0.3, 0.6):
        runs = simulate(np.array([lead, 0.0, 0.0, 0.0, 0.0]), lead, n_validation=60, seed=5)
        chosen = np.mean([run.differences[run.best_on_validation].low > 0 for run in runs])
        every = np.mean([min(d.low for d in run.differences) > 0 for run in runs])
        print(f"ability {lead} above the other parents: falsely better than the chosen {chosen:.3f}, every {every:.3f}")


def _answers(rng: np.random.Generator, abilities: NDArray[np.float64], n_items: int) -> NDArray[np.float64]:
    chance = 1.0 / (1.0 + np.exp(rng.normal(0.0, 1.5, n_items) - abilities[:, None]))
    return (rng.random(chance.shape) < chance).astype(np.float64)


if __name__ == "__main__":
    main()
