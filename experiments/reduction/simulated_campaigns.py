"""How often `evomerge verify` is right: simulated campaigns with known truth, through the real Verifier.

    command    python -m experiments.reduction.simulated_campaigns [--campaigns 100] [--only GROUP] [--out FILE.json]
    cost       ten minutes on one core
    expected   in every world but those of "beyond what is promised" at most 5 % of the campaigns claim of any winner
               what is not true, and at least 93 % of the 95 % intervals hold the truth, up to chance

A campaign is an archive of parents, recipes that cost no search, and merges, of one or two objectives: some items are
searched on, as many choose the winners, others test them. `simulated_worlds` says what is true; the truth that claims
and intervals are judged by is the expected score over all items there could be.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray

import evomerge as em
from evomerge.archive import Archive
from evomerge.results.verification.result import Standing, Verification, Winner
from evomerge.results.verification.verifier import Verifier
from evomerge.workers.in_process import InProcessPool
from experiments.reduction.simulated_worlds import GROUPS, World
from experiments.reduction.tables import as_markdown
from fitness import Budget, Difference, MeanEstimator, Objective, PairedComparison, Split, Splits

Floats = NDArray[np.float64]
STANDINGS = get_args(Standing)
SPLITS: tuple[Split, ...] = ("search", "validation", "test")
RECIPES = ("uniform mean", "default TIES")


@dataclass(frozen=True)
class Findings:
    """Of one world; shares of campaigns, but for intervals."""

    campaigns: int
    false_claims: float  # call a winner, of any pick and verification, what it is not
    called: Mapping[str, float]  # standing -> call the `best` pick of the last verification so
    truly: Mapping[str, float]  # standing -> where it is so; several may be true
    coverage: float  # 95 % intervals that hold the truth
    too_high: float  # those of the mean that lie above the truth
    too_low: float  # those of the mean that lie below it
    curse: float  # mean of search score minus true score of the `best` pick
    false_by: Mapping[int, float]  # verifications -> false claims by then, where there are several


class Models:
    """The models of one campaign: what is true of them, and their answers to items."""

    def __init__(self, world: World, rng: np.random.Generator) -> None:
        merges = np.array(world.merges) - np.abs(rng.normal(0.0, world.spread, (world.n_merges, len(world.merges))))
        self.world = world
        self.labels = (*(f"parent {i}" for i in range(len(world.parents))), *RECIPES[: len(world.recipes)])
        self.truth = np.concatenate([np.array([*world.parents, *world.recipes]), merges])  # (models, objectives)
        self.objectives = tuple(Objective(name, (name,)) for name in ("first", "second")[: len(world.merges)])
        sizes = (world.validation, world.validation, world.test)
        self._scores = world.answers(rng, self.truth, sum(sizes), len(world.parents))
        places = dict(zip(SPLITS, np.split(np.arange(sum(sizes)), np.cumsum(sizes)[:-1]), strict=True))
        self._places = {split: np.tile(at, len(self.objectives)) for split, at in places.items()}
        names = {split: tuple(f"{o.name}/{i}" for o in self.objectives for i in at) for split, at in places.items()}
        self.splits = Splits(names)
        self.task_of = {item: item.split("/")[0] for item in self.splits.item_ids}
        number = {item: int(item.split("/")[1]) // world.per_group for item in self.task_of}
        self.group_of = {item: f"{self.task_of[item]}/{n}" for item, n in number.items()} if world.per_group > 1 else {}

    def candidate(self, number: int) -> em.Candidate:
        """Return a model as a candidate: parents, recipes, merges."""
        parents = [f"parent {i}" for i in range(len(self.world.parents))]
        rules = (em.Rule("linear", tuple(em.Input(name, {"weight": number / 1000}) for name in parents)),)
        recipe = em.Recipe({name: em.ParentSource(f"/models/{name}") for name in parents}, parents[0], rules)
        label = self.labels[number] if number < len(self.labels) else None
        return em.Candidate(number, recipe, label, None if label else number)

    def evaluate(self, candidate: em.Candidate, budget: Budget) -> em.Scored:
        """Return its scores; where several verifications need new winners, each merge searched better than the last."""
        items, places = self.splits.select(budget), self._places[budget.split]
        task = np.repeat(np.arange(len(self.objectives)), len(places) // len(self.objectives))
        values = self._scores[candidate.number, task, places]
        if self.world.looks > 1 and budget.split == "search":
            values = (np.arange(len(items)) < len(items) * candidate.number / len(self.truth)).astype(float)
        return em.Scored(candidate, em.ItemScores(items, values), 0.0)

    def evaluate_together(self, candidates: Sequence[em.Candidate], budget: Budget) -> list[em.Scored | em.Failure]:
        """Return their scores."""
        return [self.evaluate(candidate, budget) for candidate in candidates]

    def standings(self, number: int, best_parent: str) -> frozenset[Standing]:
        """Return what may truly be said of a merge, by what is true of every parent and recipe."""
        mine, parents = self.truth[number], self.truth[: len(self.world.parents)]
        recipes = self.truth[len(parents) : len(self.labels)]
        named = self.truth[self.labels.index(best_parent)]
        above_parents = (mine.mean() > parents.mean(axis=1)).all()
        undominated = (mine > self.truth[: len(self.labels)]).any(axis=1).all()
        true: dict[Standing, bool] = {
            "better": above_parents and (mine.mean() > recipes.mean(axis=1)).all(),
            "better_than_parents": above_parents,
            "trade_off": len(mine) > 1 and undominated and (mine > named - self.world.margin).all(),
            "not_shown": True,
        }
        return frozenset(standing for standing, holds in true.items() if holds)


def simulate(world: World, campaigns: int, seed: int = 0) -> Findings:
    """Simulate campaigns of a world."""
    found: dict[str, list[float]] = defaultdict(list)
    called, truly = dict.fromkeys(STANDINGS, 0), dict.fromkeys(STANDINGS, 0)
    false = np.zeros((campaigns, world.looks), dtype=bool)
    for number in range(campaigns):
        models = Models(world, np.random.default_rng([seed, number]))
        for look, verified in enumerate(_verifications(models)):
            assert verified.number == look + 1  # somebody new was tested
            true = {w.candidate: models.standings(w.candidate, verified.best_parent) for w in verified.winners}
            false[number, look:] |= any(w.standing not in true[w.candidate] for w in verified.winners)
        winner = verified.winners[0]
        called[winner.standing] += 1
        for standing in true[winner.candidate]:
            truly[standing] += 1
        for of_mean, interval, truth in _intervals(winner, models):
            found["coverage"].append(interval.low <= truth <= interval.high)
            if of_mean:
                found["too_high"].append(interval.low > truth)
                found["too_low"].append(interval.high < truth)
        assert winner.gap is not None
        tested = next(row.mean for row in verified.rows if row.candidate == winner.candidate)
        found["curse"].append(winner.gap.value + tested - float(models.truth[winner.candidate].mean()))
    by = {k: float(false[:, k - 1].mean()) for k in (1, 3, 10, 20) if 1 < world.looks >= k}
    shares = {what: float(np.mean(values)) for what, values in found.items()}
    return Findings(
        campaigns,
        false_claims=float(false[:, -1].mean()),
        called={standing: n / campaigns for standing, n in called.items()},
        truly={standing: n / campaigns for standing, n in truly.items()},
        false_by=by,
        coverage=shares["coverage"],
        too_high=shares["too_high"],
        too_low=shares["too_low"],
        curse=shares["curse"],
    )


def _verifications(models: Models) -> Iterator[Verification]:
    """Yield what the real Verifier says, after each part of the merges that the search comes to."""
    estimator = MeanEstimator(models.objectives, task_of=models.task_of, splits=models.splits)
    comparison = PairedComparison(models.objectives, models.task_of, models.group_of)
    candidates = [models.candidate(number) for number in range(len(models.truth))]
    landmarks, merges = candidates[: len(models.labels)], candidates[len(models.labels) :]
    with tempfile.TemporaryDirectory() as directory:
        archive = Archive.create(Path(directory) / "archive.sqlite", "")
        for part in [landmarks, *_parts(merges, models.world.looks)]:
            archive.asked(part, None if part is landmarks else len(part))
            done = [models.evaluate(candidate, Budget("search")) for candidate in part]
            archive.told([(scored, estimator.estimate(scored.scores)) for scored in done])
            if part is not landmarks:
                pool = InProcessPool(lambda: models)
                verifier = Verifier(archive, pool, estimator, comparison, margin=models.world.margin)
                yield verifier.verify(min(8, len(part)), validation=True)
        archive.close()


def _parts(merges: Sequence[em.Candidate], n_parts: int) -> list[Sequence[em.Candidate]]:
    size = len(merges) // n_parts
    return [merges[i * size : (i + 1) * size] for i in range(n_parts)]


def _intervals(winner: Winner, models: Models) -> Iterator[tuple[bool, Difference, float]]:
    """Yield whether an interval is of a mean, the interval, and what it should hold."""
    mine = models.truth[winner.candidate]
    for compared in winner.comparisons:
        difference = mine - models.truth[models.labels.index(compared.name)]
        yield True, compared.mean, float(difference.mean())
        if len(difference) > 1:
            yield from ((False, d, float(t)) for d, t in zip(compared.objectives, difference, strict=True))


HEADER = ("world", "campaigns", "false claims", "called (truly) better", "than parents", "a trade-off", "intervals")


def _row(name: str, found: Findings) -> tuple[str, ...]:
    by = "".join(f"; {100 * share:.1f} % after {k}" for k, share in found.false_by.items())
    called = (
        f"{100 * found.called[standing]:.3g} % ({100 * found.truly[standing]:.3g} %)"
        for standing in ("better", "better_than_parents", "trade_off")
    )
    intervals = f"{100 * found.coverage:.1f} %, {100 * found.too_high:.1f} above, {100 * found.too_low:.1f} below"
    return name, str(found.campaigns), f"{100 * found.false_claims:.1f} %{by}", *called, intervals


def main() -> None:
    """Print tables in Markdown, and write the same as JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--campaigns", type=int, default=100, help="of each world")
    parser.add_argument("--only", choices=GROUPS, help="one group of worlds")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    results = {}
    for group in [arguments.only] if arguments.only else GROUPS:
        results[group] = {name: simulate(world, arguments.campaigns) for name, world in GROUPS[group].items()}
        rows = [HEADER, *(_row(name, found) for name, found in results[group].items())]
        print("\n".join(as_markdown(group, rows)), flush=True)
    if arguments.out is not None:
        plain = {group: {name: asdict(found) for name, found in of.items()} for group, of in results.items()}
        arguments.out.write_text(json.dumps(plain, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
