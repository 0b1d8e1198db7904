"""How many item evaluations does it take to pick a good merge? By replay on a matrix of real merges' answers.

    command    python -m experiments.reduction.replay --matrix DIR|FILE [--parents NAME ...] [--png FILE] [--json]
    cost       README.md
    expected   README.md

A simulation draws candidates and the items' order, lets each strategy pick, and takes the regret: the macro-average of
the best candidate on all items minus that of the pick. Counted are simulations with a regret of at most one accuracy
point, and item evaluations: one candidate's answer to one item. Full evaluation asks every candidate every item.
Response models come from merges that are no candidates, other ones in each of four splits; what scoring these cost
stands in a column of its own.

The candidates are always drawn from the same merges: intervals (Wilson, 95 %) are about simulations, not about other
merges. Response models are simulated a fifth as often.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from rich.console import Console

from experiments.printing import guarded, make_console, table
from experiments.reduction.calibrations import Calibration, calibrate
from experiments.reduction.curves import draw_curves
from experiments.reduction.draws import Benchmark, read_benchmark
from experiments.reduction.lines import FEW_SIZES, Line, lines
from experiments.reduction.outcomes import Outcome, Point, gathered, simulate
from experiments.reduction.tables import as_markdown, tables
from fitness import FitnessError

N_SPLITS = 4
SLOW_SHARE = 5


@dataclass(frozen=True)
class Facts:
    """What the matrix is like."""

    merges: int  # candidates there are
    items: int  # per candidate
    best: float  # macro-average of the best merge on all items
    median: float  # of the merges
    deviation: float  # standard deviation of the merges' macro-averages
    close: dict[int, float]  # number of candidates -> mean number of them within the regret of their best


def main() -> None:
    """Replay, and print the tables or JSON."""
    options = _parser().parse_args()
    console = make_console(stderr=options.json or options.markdown)
    benchmark = read_benchmark(options.matrix, options.parents)
    counts = [*(n for n in options.candidates if n < len(benchmark.merges)), len(benchmark.merges)]
    facts = _facts(benchmark, counts, min(options.regrets))
    console.print(_in_words(facts, min(options.regrets)))
    with ProcessPoolExecutor(options.processes, mp_context=get_context("spawn")) as pool:
        calibrations = _calibrations(benchmark, options.known, pool, console)
        strategies = lines(mixtures=len(benchmark.parents) > 1)
        if not calibrations:
            strategies = tuple(line for line in strategies if not line.calibrated)
        work = partial(simulate, benchmark=benchmark, calibrations=calibrations, counts=counts)
        outcomes = _simulated(work, strategies, options.simulations, pool)
    cost = calibrations[0].evaluations if calibrations else 0
    costs = {line.name: cost for line in strategies if line.calibrated}
    by_regret = {
        regret: gathered(outcomes, most_regret=regret, calibration_of=costs) for regret in sorted(options.regrets)
    }
    _report(by_regret, facts, options, console)


def _report(
    by_regret: Mapping[float, Sequence[Point]], facts: Facts, options: argparse.Namespace, console: Console
) -> None:
    found = {str(regret): [asdict(point) for point in points] for regret, points in by_regret.items()}
    text = json.dumps({"matrix": asdict(facts), "points": found}, indent=1)
    if options.out is not None:
        options.out.write_text(text + "\n", encoding="utf-8")
    if options.json:
        print(text)
    else:
        for title, rows in tables(by_regret, list(facts.close), facts.items):
            if options.markdown:
                print("\n".join(as_markdown(title, rows)))
            else:
                console.print(table(title, rows[0], rows[1:]))
    if options.png is not None:
        smallest = min(by_regret)
        draw_curves(by_regret[smallest], options.png, n_items=facts.items, most_regret=smallest)
        console.print(f"figure: {options.png}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m experiments.reduction.replay", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--matrix", type=Path, required=True, help="rows of `evomerge reduce`, or a file of scores")
    parser.add_argument("--parents", nargs="*", default=[], metavar="NAME", help="models that are no candidates")
    parser.add_argument("--candidates", nargs="*", type=int, default=[50, 100, 200], help="and all that there are")
    parser.add_argument("--regrets", nargs="+", type=float, default=[0.01, 0.02, 0.03], help="what is small enough")
    parser.add_argument("--known", type=int, default=100, help="merges that response models come from; 0: no models")
    parser.add_argument("--simulations", type=int, default=1000)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--png", type=Path, help="where the figure goes; left out: none")
    parser.add_argument("--markdown", action="store_true", help="print the tables as README.md has them")
    parser.add_argument("--json", action="store_true", help="print JSON instead")
    parser.add_argument("--out", type=Path, help="write the same JSON there")
    return parser


def _facts(benchmark: Benchmark, counts: Sequence[int], regret: float) -> Facts:
    truth = benchmark.truth[benchmark.merges]
    rng = np.random.default_rng(0)
    close = {}
    for count in counts:
        chosen = [truth[rng.permutation(len(truth))[:count]] for _ in range(2000)]
        close[count] = float(np.mean([np.count_nonzero(t >= t.max() - regret - 1e-9) for t in chosen]))
    spread = float(truth.std(ddof=1))
    return Facts(len(truth), benchmark.n_items, float(truth.max()), float(np.median(truth)), spread, close)


def _in_words(facts: Facts, regret: float) -> str:
    close = ", ".join(f"{close:.1f} of {count}" for count, close in facts.close.items())
    return (
        f"{facts.merges} merges on {facts.items} items: best {facts.best:.3f}, median {facts.median:.3f}, standard "
        f"deviation {facts.deviation:.3f}; within {100 * regret:g} points of the best: {close}"
    )


def _calibrations(benchmark: Benchmark, known: int, pool: ProcessPoolExecutor, console: Console) -> list[Calibration]:
    if not known:
        return []
    most = len(benchmark.merges) - 10
    if not 10 <= known <= most:
        raise FitnessError(
            f"--known: expected from 10 to {most} of {len(benchmark.merges)} merges, or 0, found {known}"
        )
    sizes = [n for n in FEW_SIZES if n < benchmark.n_items]
    made = list(pool.map(partial(calibrate, benchmark, known, sizes), range(N_SPLITS)))
    for split, calibration in enumerate(made):
        chosen = ", ".join(f"{n}: {r.calibration.anchors} {r.estimator}" for n, r in calibration.reduced.items())
        console.print(f"reduced by {known} merges, split {split}: {chosen}")
    return made


def _simulated(
    work: Callable[..., list[Outcome]], strategies: Sequence[Line], simulations: int, pool: ProcessPoolExecutor
) -> list[Outcome]:
    every = partial(work, strategies=strategies)
    fast = partial(work, strategies=[line for line in strategies if not line.slow])
    n_slow = -(-simulations // SLOW_SHARE)
    found: list[Outcome] = []
    for step, seeds in ((every, range(n_slow)), (fast, range(n_slow, simulations))):
        for outcomes in pool.map(step, seeds, chunksize=max(1, len(seeds) // 16)):
            found += outcomes
    return found


if __name__ == "__main__":
    guarded(main)
