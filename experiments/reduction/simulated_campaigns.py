"""How often `evomerge verify` is right: simulated campaigns with known truth, through the real Verifier.

    command    python -m experiments.reduction.simulated_campaigns [--campaigns 200] [--out FILE.json]
    cost       four minutes on one core
    expected   in every world 95 % intervals cover the truth in 93 to 97 % of the cases, and at most 5 % of the
               campaigns claim of any of their winners what is not true

A campaign is an archive of 3 parents, 2 baselines and 60 candidates with two objectives. Item i of an objective is
answered right by model c with chance sigmoid(ability(c) - difficulty(i)), difficulty ~ N(0, 1.5): models share what is
hard, so that scores are paired. Of 600 items of each objective 120 were searched on, 120 choose, 360 test. Five picks
(best, knee, the best of each objective) have up to four different winners.

The truth that intervals are judged by is the expected score over all items there could be.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import evomerge as em
from evomerge.archive import Archive
from evomerge.results.verification.result import Verification, Winner
from evomerge.results.verification.verifier import MARGIN, Verifier
from evomerge.workers.in_process import InProcessPool
from fitness import Budget, Difference, MeanEstimator, Objective, PairedComparison, Splits

PARENTS = ("alpha", "beta", "gamma")
SOURCES = {name: em.ParentSource(f"/models/{name}") for name in PARENTS}
OBJECTIVES = (Objective("first", ("first",)), Objective("second", ("second",)))
N_CANDIDATES = 60
DIFFICULTY = 1.5

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class World:
    """What is true."""

    parents: tuple[tuple[float, float], ...]  # ability of each parent in each objective
    best: tuple[float, float]  # ability, in each objective, that no merge exceeds
    spread: float = 0.15  # standard deviation of the half normal distribution of merges below it
    graded: bool = False  # whether scores are numbers in [0, 1] rather than right or wrong
    n_items: int = 600  # of each objective
    margin: float = MARGIN  # what counts as just as good


EQUAL = ((0.0, 0.0),) * 3
TRADED = ((1.0, 0.0), (0.0, 1.0), (-1.0, -1.0))
WORLDS: Mapping[str, World] = {
    "all models equally able": World(EQUAL, (0.0, 0.0), spread=0.0),
    "merges equal to the one good parent": World(((0.5, 0.5), (-1.0, -1.0), (-1.0, -1.0)), (0.5, 0.5), spread=0.0),
    "two experts, merges a little worse": World(((1.2, -0.4), (-0.4, 1.2), (0.0, 0.0)), (0.35, 0.35)),
    "hardly anything right": World(((-4.0, -4.0),) * 3, (-4.0, -4.0)),
    "graded scores, no merge better": World(EQUAL, (0.0, 0.0), spread=0.0, graded=True),
    "worse on one by the margin, better on the other": World(TRADED, (0.68, 0.4), 0.0, n_items=2400, margin=0.05),
    "merges a little better": World(EQUAL, (0.4, 0.4)),
    "merges better": World(((0.8, -0.4), (-0.4, 0.8), (0.0, 0.0)), (0.9, 0.9)),
    "as good on one, a little better on the other": World(TRADED, (1.0, 0.2), 0.0, n_items=2400, margin=0.05),
}


@dataclass(frozen=True)
class Findings:
    """Of one world."""

    campaigns: int  # simulated
    coverage: Mapping[str, float]  # what is measured -> share of 95 % intervals that hold the truth
    false_claims: float  # share of campaigns that call any winner better than every parent, or a trade-off, that is not
    better: float  # share of campaigns whose `best` pick is called better than every parent
    trade_off: float  # share of campaigns whose `best` pick is called a true trade-off
    truly_better: float  # share of campaigns whose `best` pick truly is
    curse: float  # mean of search score minus true score of the `best` pick


class Models:
    """The models of one campaign: their abilities, and their answers to items."""

    def __init__(self, world: World, rng: np.random.Generator) -> None:
        parents = np.array(world.parents)
        merges = np.array(world.best) - np.abs(rng.normal(0.0, world.spread, (N_CANDIDATES + 2, 2)))
        self.abilities = np.concatenate([parents, merges])
        self.margin = world.margin
        tasks = {objective.name: [str(i) for i in range(world.n_items)] for objective in OBJECTIVES}
        seed = int(rng.integers(2**31))
        self.splits = Splits.draw_by_place(tasks, shares={"search": 0.2, "validation": 0.2, "test": 0.6}, seed=seed)
        self.task_of = {item: item.split("/")[0] for item in self.splits.item_ids}
        self._graded = world.graded
        self._difficulty = rng.normal(0.0, DIFFICULTY, (len(OBJECTIVES), world.n_items))
        self._draws = rng.random((len(self.abilities), len(OBJECTIVES), world.n_items))

    def candidate(self, number: int) -> em.Candidate:
        """Return a model as a candidate: parents, two baselines, merges."""
        weight = number / 1000
        rules = (em.Rule("linear", tuple(em.Input(name, {"weight": weight}) for name in PARENTS)),)
        labels = (*PARENTS, "uniform mean", "default TIES")
        label = labels[number] if number < len(labels) else None
        return em.Candidate(number, em.Recipe(SOURCES, "alpha", rules), label, None if label else number)

    def evaluate(self, candidate: em.Candidate, budget: Budget) -> em.Scored:
        """Return its scores."""
        items = self.splits.select(budget)
        names = [objective.name for objective in OBJECTIVES]
        task = np.array([names.index(item.split("/")[0]) for item in items])
        place = np.array([int(item.split("/")[1]) for item in items])
        chance = _sigmoid(self.abilities[candidate.number, task] - self._difficulty[task, place])
        draws = self._draws[candidate.number, task, place]
        values = np.clip(chance + 0.2 * (draws - 0.5), 0.0, 1.0) if self._graded else (draws < chance).astype(float)
        return em.Scored(candidate, em.ItemScores(items, values), 0.0)

    def evaluate_together(self, candidates: Sequence[em.Candidate], budget: Budget) -> list[em.Scored | em.Failure]:
        """Return their scores."""
        return [self.evaluate(candidate, budget) for candidate in candidates]

    def truth(self, number: int) -> Floats:
        """Return the (2,) expected scores over all items there could be."""
        at, weights = np.polynomial.hermite_e.hermegauss(61)
        difficulty = DIFFICULTY * at
        chance = _sigmoid(self.abilities[number][:, None] - difficulty)
        if self._graded:
            noise = (np.arange(400) + 0.5) / 400 - 0.5
            chance = np.clip(chance[..., None] + 0.2 * noise, 0.0, 1.0).mean(axis=-1)
        return np.asarray(chance @ weights / weights.sum())


def simulate(world: World, campaigns: int, seed: int = 0) -> Findings:
    """Simulate campaigns of a world."""
    covered: dict[str, list[bool]] = {}
    false, better, trade_off, truly, curse = [], [], [], [], []
    for number in range(campaigns):
        models = Models(world, np.random.default_rng([seed, number]))
        found = _verified(models)
        false.append(any(not _holds(winner, found, models) for winner in found.winners))
        winner = found.winners[0]
        better.append(winner.standing == "better")
        trade_off.append(winner.standing == "trade_off")
        truly.append(_is_better(winner.candidate, models))
        tested = next(row.mean for row in found.rows if row.candidate == winner.candidate)
        assert winner.gap is not None
        curse.append(winner.gap.value + tested - float(models.truth(winner.candidate).mean()))
        for what, holds in [*_coverage(winner, models), ("search-to-test gap", _inside(winner.gap, curse[-1]))]:
            covered.setdefault(what, []).append(holds)
            covered.setdefault("all", []).append(holds)
    shares = {what: float(np.mean(holds)) for what, holds in covered.items()}
    return Findings(campaigns, shares, *(float(np.mean(v)) for v in (false, better, trade_off, truly, curse)))


def _verified(models: Models) -> Verification:
    estimator = MeanEstimator(OBJECTIVES, task_of=models.task_of, splits=models.splits)
    candidates = [models.candidate(number) for number in range(len(models.abilities))]
    with tempfile.TemporaryDirectory() as directory:
        archive = Archive.create(Path(directory) / "archive.sqlite", "")
        n_landmarks = sum(candidate.label is not None for candidate in candidates)
        archive.asked(candidates[:n_landmarks], None)
        archive.asked(candidates[n_landmarks:], len(candidates) - n_landmarks)
        done = [models.evaluate(candidate, Budget("search")) for candidate in candidates]
        archive.told([(scored, estimator.estimate(scored.scores)) for scored in done])
        comparison = PairedComparison(OBJECTIVES, models.task_of)
        verifier = Verifier(archive, InProcessPool(lambda: models), estimator, comparison, margin=models.margin)
        found = verifier.verify(8, validation=True)
        archive.close()
    return found


def _coverage(winner: Winner, models: Models) -> list[tuple[str, bool]]:
    """Return what each interval is of, and whether it holds the truth."""
    names = (*PARENTS, "uniform mean", "default TIES")
    mine = models.truth(winner.candidate)
    found = []
    for place, compared in enumerate(winner.comparisons):
        difference = mine - models.truth(names.index(compared.name))
        what = "best parent" if place == 0 else "other parents" if compared.kind == "parent" else compared.name
        found.append((what, _inside(compared.mean, float(difference.mean()))))
        found += [("objectives", _inside(d, float(t))) for d, t in zip(compared.objectives, difference, strict=True)]
    return found


def _holds(winner: Winner, found: Verification, models: Models) -> bool:
    """Return whether what is claimed of a winner is true."""
    if winner.standing == "better":
        return _is_better(winner.candidate, models)
    if winner.standing == "trade_off":
        difference = models.truth(winner.candidate) - models.truth(PARENTS.index(found.best_parent))
        return bool(difference.min() > -models.margin and difference.max() > 0)
    return True


def _is_better(number: int, models: Models) -> bool:
    mine = models.truth(number).mean()
    return all(mine > models.truth(parent).mean() + 1e-12 for parent in range(len(PARENTS)))


def _inside(difference: Difference, truth: float) -> bool:
    return difference.low <= truth <= difference.high


def _sigmoid(x: Floats) -> Floats:
    return np.asarray(1.0 / (1.0 + np.exp(-x)))


def main() -> None:
    """Print a table, and write the same as JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--campaigns", type=int, default=200)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    results = {}
    for name, world in WORLDS.items():
        found = simulate(world, arguments.campaigns)
        results[name] = asdict(found)
        print(f"{name}: {found.campaigns} campaigns")
        print("  coverage " + ", ".join(f"{what} {100 * share:.1f} %" for what, share in found.coverage.items()))
        print(
            f"  false claims {100 * found.false_claims:.1f} %; best pick called better {100 * found.better:.1f} %, a "
            f"trade-off {100 * found.trade_off:.1f} %; it truly is better in {100 * found.truly_better:.1f} %; search "
            f"score above the truth by {found.curse:+.3f}"
        )
    if arguments.out is not None:
        arguments.out.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
