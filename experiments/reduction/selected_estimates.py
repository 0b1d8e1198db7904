"""How far is the top pick's score from the truth, as observed and as expected? On real merges, by evomerge's code.

    command    python -m experiments.reduction.selected_estimates [--searches 25] [--out FILE.json]
    cost       ten minutes on one core, two with --splits-only
    expected   README.md: picks by the expected mean are within 1.5 points of the truth on average, covered by 1.96
               standard errors in at least 90 %, but where other kinds of merges are searched than were reduced by

A search is an archive of 60 merges of `smollm_matrix.parquet`, estimated from some of the 882 items: by a benchmark
that `evomerge reduce` made of 100 other merges (drawn at random, or the 100 worst for a search among the 100 best),
whose truth is the score on all items; or by the plain mean of a search split, whose truth is the score on all other
items, with its own error allowed for. Picked are the best mean, of which every objective counts, and the best of each
objective.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import evomerge as em
from evomerge.archive import Archive
from evomerge.results.selected import expected, observed
from experiments.reduction.draws import Benchmark, read_benchmark
from experiments.reduction.tables import as_markdown
from fitness import ItemScores, MeanEstimator, Objective, ResponseMatrix, Splits, reduce_benchmark
from fitness.protocols import Estimator
from fitness.reduction.reduced_estimator import ReducedEstimator
from fitness.scores import Estimate

MATRIX = Path(__file__).parent / "smollm_matrix.parquet"
PARENTS = ("base", "arithmetic", "letters", "continents")
SOURCES = {name: em.ParentSource(f"/models/{name}") for name in PARENTS}
N_CANDIDATES, N_KNOWN, N_CALIBRATIONS = 60, 100, 4

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Setting:
    """What candidates are estimated from, and what is true of them."""

    name: str
    estimator: Estimator
    items: tuple[str, ...]  # that candidates answer
    digest: str  # of the reduced benchmark; empty without one
    candidates: Indices  # rows of the matrix
    truth: Floats  # (n_models, n_objectives)
    squares: Floats  # (n_models, n_objectives) squared standard errors of the truth


@dataclass(frozen=True)
class Pick:
    """One objective of one picked candidate."""

    setting: str
    best_of: str  # `mean` or `objective`
    kind: str  # `observed` or `expected`
    over: float  # estimate minus truth
    covered: bool  # whether the truth is within 1.96 standard errors


def reductions(benchmark: Benchmark, seed: int) -> Iterator[Setting]:
    """Yield the settings with a reduced benchmark, drawn anew."""
    order = np.random.default_rng([seed, 1]).permutation(benchmark.merges)
    ranked = benchmark.merges[np.argsort(benchmark.truth[benchmark.merges], kind="stable")]
    for n_items in (24, 60):
        name = f"reduced to {n_items} items"
        yield _reduced(benchmark, name, order[:N_KNOWN], order[N_KNOWN:], n_items=n_items, seed=seed)
        name = f"{name} by the {N_KNOWN} worst, the {N_KNOWN} best searched"
        yield _reduced(benchmark, name, ranked[:N_KNOWN], ranked[-N_KNOWN:], n_items=n_items, seed=seed)


def _reduced(
    benchmark: Benchmark, name: str, known: Indices, candidates: Indices, *, n_items: int, seed: int
) -> Setting:
    rows = np.concatenate([benchmark.parents, np.sort(known)])
    models = tuple(benchmark.matrix.models[int(row)] for row in rows)
    part = ResponseMatrix(models, benchmark.matrix.items, benchmark.matrix.scores[rows])
    endpoints = models[: len(benchmark.parents)]
    reduced = reduce_benchmark(part, benchmark.tasks, endpoints=endpoints, n_items=n_items, content="", seed=seed)
    task_of, splits = _task_of(benchmark), Splits({"search": benchmark.matrix.items})
    estimator = ReducedEstimator(reduced, _objectives(benchmark), task_of=task_of, splits=splits)
    truth = benchmark.tasks.full_scores(benchmark.matrix.scores)
    return Setting(name, estimator, reduced.items_for(None), reduced.digest, candidates, truth, 0.0 * truth)


def split(benchmark: Benchmark, share: float, seed: int) -> Setting:
    """Return a setting with a share of the items to search on, drawn anew."""
    task_of = _task_of(benchmark)
    of_task = {name: [i.partition("/")[2] for i in task_of if task_of[i] == name] for name in benchmark.tasks.names}
    splits = Splits.draw_by_place(of_task, shares={"search": share, "test": 1.0 - share}, seed=seed)
    estimator = MeanEstimator(_objectives(benchmark), task_of=task_of, splits=splits)
    tested = [estimator.estimate(_answers(benchmark, row, splits.items["test"])) for row in range(len(benchmark.truth))]
    truth, squares = (np.array([[getattr(o, f) for o in e.objectives] for e in tested]) for f in ("value", "stderr"))
    items = splits.items["search"]
    name = f"a search split, {100 * share:.0f} % of the items"
    return Setting(name, estimator, items, "", benchmark.merges, truth, squares**2)


def searched(benchmark: Benchmark, setting: Setting, seed: Sequence[int]) -> list[Pick]:
    """Search among candidates drawn by a seed."""
    rows = np.random.default_rng([*seed, 2]).permutation(setting.candidates)[:N_CANDIDATES].tolist()
    with tempfile.TemporaryDirectory() as directory:
        return list(picks_of(benchmark, setting, rows, Path(directory) / "archive.sqlite"))


def picks_of(benchmark: Benchmark, setting: Setting, rows: Sequence[int], path: Path) -> Iterator[Pick]:
    """Search among some rows, and yield what is said of the picked ones."""
    archive = Archive.create(path, "")
    archive.note("reduced", setting.digest)
    candidates = [_candidate(number) for number in range(len(rows))]
    archive.asked(candidates, len(candidates))
    scores = [_answers(benchmark, row, setting.items) for row in rows]
    done = [em.Scored(candidate, found, 0.0) for candidate, found in zip(candidates, scores, strict=True)]
    archive.told([(one, setting.estimator.estimate(one.scores)) for one in done])
    for kind, found in (("observed", observed(archive)), ("expected", expected(archive))):
        best = max(found, key=lambda n: found[n].mean)
        objectives = range(len(benchmark.tasks.names))
        yield from (_pick(setting, rows, best, k, kind=kind, best_of="mean", found=found[best]) for k in objectives)
        for k in objectives:
            top = max(found, key=lambda n: found[n].objectives[k].value)
            yield _pick(setting, rows, top, k, kind=kind, best_of="objective", found=found[top])
    archive.close()


def _pick(
    setting: Setting, rows: Sequence[int], number: int, k: int, *, kind: str, best_of: str, found: Estimate
) -> Pick:
    objective, at = found.objectives[k], (rows[number], k)
    over = objective.value - float(setting.truth[at])
    margin = 1.96 * float(np.sqrt(objective.stderr**2 + setting.squares[at]))
    return Pick(setting.name, best_of, kind, over, abs(over) <= margin)


def _answers(benchmark: Benchmark, row: int, items: Sequence[str]) -> ItemScores:
    place = {item: i for i, item in enumerate(benchmark.matrix.items)}
    return ItemScores(tuple(items), benchmark.matrix.scores[row, [place[item] for item in items]])


def _candidate(number: int) -> em.Candidate:
    rules = (em.Rule("linear", tuple(em.Input(name, {"weight": number / 1000}) for name in PARENTS)),)
    return em.Candidate(number, em.Recipe(SOURCES, "base", rules), None, number)


def _task_of(benchmark: Benchmark) -> dict[str, str]:
    return {item: item.partition("/")[0] for item in benchmark.matrix.items}


def _objectives(benchmark: Benchmark) -> list[Objective]:
    return [Objective(name, (name,)) for name in benchmark.tasks.names]


def rows_of(picks: Sequence[Pick]) -> list[tuple[str, ...]]:
    """Return a table: of each setting and pick, what was observed and what was expected."""
    rows: list[tuple[str, ...]] = [
        ("candidates estimated from", "best of", "observed", "covered", "expected", "covered")
    ]
    for key in dict.fromkeys((pick.setting, pick.best_of) for pick in picks):
        own = [pick for pick in picks if (pick.setting, pick.best_of) == key]
        cells: list[str] = []
        for kind in ("observed", "expected"):
            alike = [pick for pick in own if pick.kind == kind]
            cells += [f"{100 * np.mean([p.over for p in alike]):+.1f}"]
            cells += [f"{100 * np.mean([p.covered for p in alike]):.0f} %"]
        rows.append((*key, *cells))
    return rows


def main() -> None:
    """Print a table, and write every pick as JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--searches", type=int, default=25, help="of each setting, drawn four times")
    parser.add_argument("--splits-only", action="store_true", help="leave out what takes reduced benchmarks")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    benchmark = read_benchmark(MATRIX, PARENTS)
    found: list[Pick] = []
    for seed in range(N_CALIBRATIONS):
        for setting in reductions(benchmark, seed) if not arguments.splits_only else ():
            for search in range(arguments.searches):
                found += searched(benchmark, setting, [seed, search])
            print(f"drawn {seed + 1} of {N_CALIBRATIONS} times: {setting.name}", file=sys.stderr, flush=True)
    for share in (0.1, 0.3):
        for search in range(N_CALIBRATIONS * arguments.searches):
            found += searched(benchmark, split(benchmark, share, search), [search])
    print("\n".join(as_markdown(f"{N_CANDIDATES} candidates, points above the truth", rows_of(found))))
    if arguments.out is not None:
        arguments.out.write_text(json.dumps([asdict(pick) for pick in found]) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
