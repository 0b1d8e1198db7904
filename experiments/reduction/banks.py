"""Does a bank of other models spare a calibration of one's own? By replay on the matrix of real merges.

    python -m experiments.reduction.banks [--seeds 0 1 2] [--items 60] [--own 20] [--rows 0 1 2 3 4 5 6 7 8]

The merges are split: 150 are "public", some few are the campaign's own models, the rest are its candidates, which no
calibration knows. The public half is written as files of other projects (mirt's CSV, lm-eval's samples; a leaderboard's
Parquet says the same: `tests/experiments/test_banks.py`), read by what reads `evomerge reduce --bank`, and the
benchmark is reduced by it. Candidates answer its items; reported are the mean absolute error of their macro-average,
Kendall's tau with the one on all items and the regret of the best one by it, as means over splits. Public models are
merges of the same parents here: real ones are another kind, and `worst half` shows what that does.

cost       five minutes a split on one idle core
expected   README.md
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau

from evomerge.api.banks import UsedBanks
from evomerge.responses.bank import CampaignItems, match, read_bank
from experiments.printing import guarded, make_console, mean_and_error, table
from experiments.reduction.bank_files import write_parameters, write_results, write_samples
from experiments.reduction.draws import Benchmark, read_benchmark
from fitness import ReducedBenchmark, ResponseMatrix, reduce_benchmark
from fitness.estimation.item_response import Respondent, Seen

HERE = Path(__file__).parent
PARENTS = ("base", "arithmetic", "letters", "continents")
N_PUBLIC, N_OWN_CALIBRATION = 150, 100
HEADER = ("calibration", "own models", "abs. error", "Kendall tau", "regret", "better than random")
Indices = NDArray[np.intp]


@dataclass(frozen=True)
class Quality:
    """How good a reduced benchmark is on candidates."""

    error: float
    tau: float
    regret: float
    better: bool  # whether its own report said so


@dataclass(frozen=True)
class Arm:
    """One way to a reduced benchmark."""

    name: str
    own: int  # models of the campaign's own that answered all items, parents aside
    writer: str = ""  # the form of the bank; empty without one
    share: float = 1.0  # of the items that the bank has
    worst: bool = False  # whether the public models are the worst half


def arms(own: int) -> list[Arm]:
    """Return what is compared."""
    return [
        Arm("none (60 random items, mean)", 0),
        Arm("own models alone", own),
        Arm("own models alone", N_OWN_CALIBRATION),
        Arm("bank: answers", 0, "samples"),
        Arm("bank: answers", own, "samples"),
        Arm("bank: parameters (CSV, one scale a task)", own, "parameters"),
        Arm("bank: answers to 2/3 of the items", own, "samples", share=2 / 3),
        Arm("bank: answers of the worst half", 0, "samples", worst=True),
        Arm("bank: answers of the worst half", own, "samples", worst=True),
    ]


def main() -> None:
    """Run every arm on every split, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--items", type=int, default=60)
    parser.add_argument("--own", type=int, default=20)
    parser.add_argument("--rows", nargs="+", type=int, default=list(range(9)), help="of the table, all of them")
    options = parser.parse_args()
    console, benchmark = make_console(), read_benchmark(HERE / "smollm_matrix.parquet", list(PARENTS))
    rows = []
    for arm in (arms(options.own)[row] for row in options.rows):
        found = []
        for seed in options.seeds:
            with tempfile.TemporaryDirectory() as directory:
                found.append(run(benchmark, arm, seed, n_items=options.items, directory=Path(directory)))
            console.print(f"{arm.name}, {arm.own} own models, split {seed}: {found[-1]}")
        columns = ([q.error for q in found], [q.tau for q in found], [q.regret for q in found])
        better = f"{sum(q.better for q in found)} of {len(found)}"
        rows.append((arm.name, str(arm.own), *(mean_and_error(c) for c in columns), better))
    console.print(table("Banks", HEADER, rows))


def run(benchmark: Benchmark, arm: Arm, seed: int, *, n_items: int, directory: Path) -> Quality:
    """Reduce by one arm, and judge on the candidates."""
    rng = np.random.default_rng([seed, 7])
    matrix, merges = benchmark.matrix, rng.permutation(benchmark.merges)
    if arm.worst:
        full = benchmark.tasks.full_scores(matrix.scores).mean(axis=1)
        worst = merges[np.argsort(full[merges], kind="stable")[:N_PUBLIC]]
        merges = np.concatenate([worst, np.setdiff1d(merges, worst)[rng.permutation(len(merges) - N_PUBLIC)]])
    public, rest = merges[:N_PUBLIC], merges[N_PUBLIC:]
    candidates = np.sort(rest[20:])  # the same for every arm with these public models
    if not arm.own and not arm.writer:
        return _by_random_items(benchmark, candidates, n_items, rng)
    calibrating = rest[:20] if arm.own <= 20 else public
    own = np.concatenate([benchmark.parents, calibrating[: arm.own]])
    reduced = _reduced(benchmark, arm, _rows(matrix, public), _rows(matrix, own), n_items=n_items, directory=directory)
    return _judged(benchmark, reduced, candidates)


def _reduced(
    benchmark: Benchmark, arm: Arm, public: ResponseMatrix, own: ResponseMatrix, *, n_items: int, directory: Path
) -> ReducedBenchmark:
    tasks, items = benchmark.tasks, benchmark.matrix.items
    if not arm.writer:
        return reduce_benchmark(own, tasks, endpoints=PARENTS, n_items=n_items, content="")
    written = public
    if arm.share < 1.0:
        known = np.sort(np.random.default_rng(0).permutation(len(items))[: int(arm.share * len(items))])
        scores = np.full_like(public.scores, np.nan)
        scores[:, known] = public.scores[:, known]
        written = ResponseMatrix(public.models, items, scores)
    write = {"samples": write_samples, "results": write_results, "parameters": write_parameters}[arm.writer]
    campaign = CampaignItems(items, {}, dict.fromkeys(tasks.names, "acc"))
    using = UsedBanks(
        tuple(match(read_bank(said), campaign) for said in write(directory, written, tasks)), campaign, tasks
    )
    if not arm.own:
        assert using.answers is not None
        return reduce_benchmark(using.answers, tasks, endpoints=(), n_items=n_items, content="")
    known_items = using.known(lambda _: None)
    return reduce_benchmark(own, tasks, endpoints=PARENTS, n_items=n_items, content="", known=known_items)


def _judged(benchmark: Benchmark, reduced: ReducedBenchmark, candidates: Indices) -> Quality:
    """Let candidates answer the reduced benchmark's items, and take its own estimator."""
    scores, tasks = benchmark.matrix.scores, reduced.bank.tasks
    weights = np.array([reduced.anchors.get(item, 0.0) for item in reduced.items])
    shown = [task.items[weights[task.items] > 0.0] for task in tasks]
    found = []
    for row in candidates:
        respondent = Respondent(reduced.bank, [Seen(i, scores[row, i], weights[i]) for i in shown])
        found.append(np.mean([respondent.estimate(t, reduced.estimator).value for t in range(len(tasks))]))
    return _quality(benchmark, candidates, np.array(found), better=reduced.calibration.better)


def _by_random_items(benchmark: Benchmark, candidates: Indices, n_items: int, rng: np.random.Generator) -> Quality:
    draws = []
    for _ in range(20):
        sizes = benchmark.tasks.sizes(n_items)
        shown = [items[rng.permutation(len(items))[:n]] for items, n in zip(benchmark.tasks.items, sizes, strict=True)]
        means = np.mean([benchmark.matrix.scores[np.ix_(candidates, items)].mean(axis=1) for items in shown], axis=0)
        draws.append(_quality(benchmark, candidates, means, better=False))
    error, tau, regret = np.mean([(draw.error, draw.tau, draw.regret) for draw in draws], axis=0).tolist()
    return Quality(error, tau, regret, better=False)


def _quality(benchmark: Benchmark, candidates: Indices, estimates: NDArray[np.float64], *, better: bool) -> Quality:
    full = benchmark.tasks.full_scores(benchmark.matrix.scores).mean(axis=1)[candidates]
    best = full.max() - full[estimates == estimates.max()].mean()
    tau = float(kendalltau(estimates, full).statistic)
    return Quality(float(np.abs(estimates - full).mean()), tau, float(best), better)


def _rows(matrix: ResponseMatrix, rows: Sequence[int] | Indices) -> ResponseMatrix:
    chosen = [int(row) for row in rows]
    return ResponseMatrix(tuple(matrix.models[row] for row in chosen), matrix.items, matrix.scores[chosen])


if __name__ == "__main__":
    guarded(main)
