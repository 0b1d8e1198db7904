"""What a proposal of `bayes` takes once much is known: the response model is fitted and the next merge is found.

usage: python -m experiments.benchmarks.proposal [--candidates N] [--objectives N] [--proposals N]

Merges of three experts with 18 genes answer 60 items of their own, from 900; answers are drawn from a logistic model. A
SmolLM2 candidate takes some six seconds on two cores, of which a proposal should take a tenth at most. The last line
names the proposals: the same on every run.
"""

from __future__ import annotations

import argparse
import hashlib
import time

import numpy as np
from numpy.typing import NDArray

import evomerge as em
from fitness import Estimate, ObjectiveEstimate
from search_spaces import Groups, WeightSpace

ITEMS, OWN = 900, 60
Floats = NDArray[np.float64]


class Merges:
    """Merges whose answers are drawn: each task is done best at another place of the cube.

    Args:
        n_objectives: tasks, of equally many items.
    """

    def __init__(self, n_objectives: int) -> None:
        parents = {name: em.ParentSource(f"/models/{name}") for name in ("base", "arithmetic", "words", "code")}
        groups = Groups(3, modules=("attention", "mlp"))
        self.space = WeightSpace(
            parents, "base", n_layers=24, operators=["task_arithmetic"], groups=groups, genes={"weight": (0.0, 1.5)}
        )
        self._rng = np.random.default_rng(0)
        self.tasks = tuple(f"task{t}" for t in range(n_objectives))
        self.items = {f"{task}/{i}": task for task in self.tasks for i in range(ITEMS // n_objectives)}
        self._tops = {task: self._rng.uniform(0.3, 0.8, self.space.dim) for task in self.tasks}
        self._easiness = dict(zip(self.items, self._rng.normal(0.0, 1.5, len(self.items)), strict=True))

    def evaluation(self, number: int, genome: Floats) -> em.Evaluation:
        """Return a merge's answers to items of its own."""
        scores: dict[str, float] = {}
        objectives = []
        for task in self.tasks:
            own = self._rng.permutation([item for item, of in self.items.items() if of == task])[
                : OWN // len(self.tasks)
            ]
            logits = np.array([self._easiness[item] for item in own]) + 1.0
            logits -= 2.0 * float(((genome - self._tops[task]) ** 2).sum())
            values = (self._rng.random(len(own)) < 1.0 / (1.0 + np.exp(-logits))).astype(np.float64)
            scores.update(zip(own, values, strict=True))
            objectives.append(ObjectiveEstimate(task, float(values.mean()), 0.1, len(own)))
        candidate = em.Candidate(number, self.space.decode(genome), None, number, genome)
        items = em.ItemScores(tuple(scores), np.array([*scores.values()]))
        return em.Evaluation(candidate, Estimate("search", tuple(objectives)), items)


def seconds_of_proposals(n_candidates: int, n_objectives: int, n_proposals: int) -> tuple[list[float], str]:
    """Return what each of the last proposals takes, and a digest of what is proposed."""
    merges = Merges(n_objectives)
    rng = np.random.default_rng(1)
    genomes = [rng.random(merges.space.dim) for _ in range(n_candidates - n_proposals)]
    problem = em.optimisers.Problem(
        merges.space,
        seed=0,
        weights=dict.fromkeys(merges.tasks, 1.0),
        evaluations=n_candidates,
        given=tuple(genomes),
        scored=tuple(merges.evaluation(i, genome) for i, genome in enumerate(genomes)),
        tasks={task: (task,) for task in merges.tasks},
        task_of=merges.items,
    )
    optimiser = em.optimisers.Bayes().build(problem)
    seconds, digest = [], hashlib.sha256()
    for number in range(n_proposals + 1):
        began = time.perf_counter()
        (genome,) = optimiser.ask(1)
        seconds.append(time.perf_counter() - began)
        digest.update(np.ascontiguousarray(genome).tobytes())
        optimiser.tell([merges.evaluation(number, genome)])
    return seconds[1:], digest.hexdigest()[:16]  # the first one chooses settings from nothing, as no search does


def main() -> None:
    """Print seconds of a proposal."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--candidates", type=int, default=500)
    parser.add_argument("--objectives", type=int, default=2)
    parser.add_argument("--proposals", type=int, default=40, help="the last so many are timed")
    arguments = parser.parse_args()
    seconds, digest = seconds_of_proposals(arguments.candidates, arguments.objectives, arguments.proposals)
    print(
        f"{arguments.candidates} candidates of {OWN} items, {arguments.objectives} objectives, a proposal: "
        f"{np.median(seconds):.2f} s (median), {max(seconds):.2f} s (most), {np.mean(seconds):.2f} s (mean)"
    )
    print(f"proposed: {digest}")


if __name__ == "__main__":
    main()
