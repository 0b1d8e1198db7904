"""Do picks by the pooled model of own items find better merges than picks by means, and do they promise less?

    command    python -m experiments.reduction.own_items [--searches 60] [--out FILE.json]
    cost       ten minutes on one core
    expected   README.md: at 6 to 72 items a candidate the pooled picks of own items are better merges than the picks by
               means, of the same items or of own ones, and promise one to three points too much where these promise
               five to thirty-five

A search is an archive of 100 merges of `smollm_matrix.parquet`, drawn at random, with their genomes, and of the four
parents as landmarks. Everybody answers the same items, or by `schedule: own_items` some of its own; what is true of a
merge is its score on all 882 items. Picked is the best mean: by the archive's own estimates, or as evomerge picks.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

import evomerge as em
from evomerge.archive import Archive
from evomerge.results.picks import read_picks
from evomerge.results.pooled import note_objectives
from evomerge.results.selected import expected
from evomerge.schedules.all_items import AllItems
from evomerge.schedules.own_items import OwnItems
from evomerge.schedules.protocol import Schedule, ScheduleContext
from evomerge.seeds import stream
from experiments.reduction.draws import Benchmark, read_benchmark
from experiments.reduction.tables import as_markdown
from fitness import ItemScores, MeanEstimator, Objective, Splits
from fitness.scores import Budget

MATRIX = Path(__file__).parent / "smollm_matrix.parquet"
PARENTS = ("base", "arithmetic", "letters", "continents")
SOURCES = {name: em.ParentSource(f"/models/{name}") for name in PARENTS}
N_CANDIDATES, N_GENES = 100, 18
SIZES = (6, 12, 18, 36, 72)


@dataclass(frozen=True)
class Pick:
    """One picked candidate; shares of all items."""

    n_items: int
    items: str  # `same` for all, or `own`
    by: str  # `means` as told, or `expected` as evomerge picks
    regret: float  # what the best of the candidates has more
    over: float  # what is said of it more than it has
    covered: float  # share of all candidates that have what is said of them, give or take 1.96 standard errors
    correlation: float  # of what is said of all candidates with what they have
    seconds: float  # that reading the picks took


@dataclass(frozen=True, eq=False)
class Search:
    """One search's candidates: the parents, then merges."""

    benchmark: Benchmark
    splits: Splits
    rows: Sequence[int]  # of the matrix

    @property
    def objectives(self) -> list[Objective]:
        """One a task."""
        return [Objective(name, (name,)) for name in self.benchmark.tasks.names]

    @property
    def task_of(self) -> dict[str, str]:
        """Item -> task."""
        return {item: item.partition("/")[0] for item in self.benchmark.matrix.items}

    def archive(self, path: Path, n_items: int, *, own: bool) -> Archive:
        """Return a search in which each merge answered so many items."""
        archive = Archive.create(path, "")
        estimator = MeanEstimator(self.objectives, task_of=self.task_of, splits=self.splits)
        items = self.splits.items["search"]
        context = ScheduleContext(
            *(archive, Budget("search"), items, estimator),
            task_of=self.task_of,
            weights=None,
            missed=lambda _: 0.0,
            own=n_items,
        )
        schedule: Schedule = OwnItems(context, landmarks=4) if own else AllItems(Budget("search", items[:n_items]))
        candidates = [self._candidate(number, row) for number, row in enumerate(self.rows)]
        note_objectives(archive, self.objectives)
        archive.asked(candidates[: len(PARENTS)], None)
        archive.asked(candidates[len(PARENTS) :], len(candidates) - len(PARENTS))
        place = {item: i for i, item in enumerate(self.benchmark.matrix.items)}
        done = []
        for candidate, row in zip(candidates, self.rows, strict=True):
            asked = schedule.items(candidate).items or items
            answers = self.benchmark.matrix.scores[row, [place[item] for item in asked]]
            done.append(em.Scored(candidate, ItemScores(asked, answers), 0.0))
        archive.told([(one, estimator.estimate(one.scores)) for one in done])
        return archive

    def _candidate(self, number: int, row: int) -> em.Candidate:
        model = self.benchmark.matrix.models[row]
        rules = (em.Rule("linear", tuple(em.Input(name, {"weight": number / 1000}) for name in PARENTS)),)
        recipe = em.Recipe(SOURCES, "base", rules)
        if model in PARENTS:
            return em.Candidate(number, recipe, model)
        # As `evomerge reduce` drew it from the campaign's seed.
        genome = stream(0, "reduce", model.removeprefix("random ")).random(N_GENES)
        return em.Candidate(number, recipe, None, number - len(PARENTS), genome)


def searched(benchmark: Benchmark, seed: int, directory: Path) -> Iterator[Pick]:
    """Search once, with each number of items, and yield the picks."""
    rng = np.random.default_rng([seed, 3])
    random = [int(row) for row in benchmark.merges if benchmark.matrix.models[int(row)].startswith("random ")]
    rows = [*map(int, benchmark.parents), *rng.permutation(random)[:N_CANDIDATES].tolist()]
    of_task = {
        name: [i.partition("/")[2] for i in benchmark.matrix.items if i.startswith(f"{name}/")]
        for name in benchmark.tasks.names
    }
    search = Search(benchmark, Splits.draw_by_place(of_task, shares={"search": 1.0}, seed=seed), rows)
    truth = benchmark.truth[rows]
    merges = range(len(PARENTS), len(rows))
    for n_items in SIZES:
        for items in ("same", "own"):
            archive = search.archive(directory / f"{items}-{n_items}.sqlite", n_items, own=items == "own")
            told = {r.number: r.estimate for r in archive.records("search") if r.estimate is not None}
            began = time.perf_counter()
            best = read_picks(archive)["best"]
            seconds = time.perf_counter() - began
            for by, found in (("means", told), ("expected", expected(archive))):
                said, error = (np.array([getattr(found[n], key) for n in merges]) for key in ("mean", "mean_stderr"))
                number = len(PARENTS) + int(said.argmax())
                assert by == "means" or best == number or best < len(PARENTS)
                yield Pick(
                    n_items,
                    items,
                    by,
                    float(truth[len(PARENTS) :].max() - truth[number]),
                    found[number].mean - float(truth[number]),
                    float(np.mean(np.abs(said - truth[len(PARENTS) :]) <= 1.96 * error)),
                    float(np.corrcoef(said, truth[len(PARENTS) :])[0, 1]),
                    seconds,
                )
            archive.close()


def rows_of(picks: Sequence[Pick]) -> list[tuple[str, ...]]:
    """Return a table: of each number of items, what is picked and what is said of it."""
    rows: list[tuple[str, ...]] = [
        (
            "items",
            "answered",
            "picked by",
            "regret",
            "within 2 points",
            "promised too much",
            "covered",
            "correlation",
            "seconds",
        )
    ]
    for key in dict.fromkeys((pick.n_items, pick.items, pick.by) for pick in picks):
        own = [pick for pick in picks if (pick.n_items, pick.items, pick.by) == key]
        regret, over = (100 * np.array([getattr(pick, name) for pick in own]) for name in ("regret", "over"))
        error = regret.std(ddof=1) / np.sqrt(len(own)) if len(own) > 1 else np.nan
        correlation = np.mean([pick.correlation for pick in own])
        seconds = np.mean([pick.seconds for pick in own])
        rows.append(
            (
                *map(str, key),
                f"{regret.mean():.1f} ± {error:.1f}",
                f"{100 * np.mean(regret <= 2.0):.0f} %",
                f"{over.mean():+.1f}",
                f"{100 * np.mean([pick.covered for pick in own]):.0f} %",
                f"{correlation:.2f}",
                f"{seconds:.2f}",
            )
        )
    return rows


def main() -> None:
    """Print a table, and write every pick as JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--searches", type=int, default=60)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    benchmark = read_benchmark(MATRIX, PARENTS)
    found: list[Pick] = []
    for seed in range(arguments.searches):
        with tempfile.TemporaryDirectory() as directory:
            found += searched(benchmark, seed, Path(directory))
        print(f"search {seed + 1} of {arguments.searches}", file=sys.stderr, flush=True)
    print("\n".join(as_markdown(f"{N_CANDIDATES} candidates, points of accuracy", rows_of(found))))
    if arguments.out is not None:
        arguments.out.write_text(json.dumps([asdict(pick) for pick in found]) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
