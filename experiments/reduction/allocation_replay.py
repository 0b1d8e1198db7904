"""How many answers does it take to pick a good merge where all answers are pooled over the genes? By replay.

    command    python -m experiments.reduction.allocation_replay [--candidates 200] [--simulations 200]
               [--into experiments/reduction/replay.json --png experiments/reduction/replay.png]
    cost       two seconds of processor a search of 200 candidates; what is done is kept in --rows and not done again
    expected   README.md

The searches are those of `replay` (same candidates, same order of items), and regret is the same: the macro-average on
all items of the best candidate minus that of the pick. Nothing is known beforehand, so that calibration costs nothing.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from experiments.printing import guarded, make_console, table
from experiments.reduction.allocation import allocation
from experiments.reduction.curves import draw_curves
from experiments.reduction.draws import Benchmark, draw, read_benchmark
from experiments.reduction.outcomes import Outcome, Point, gathered
from experiments.surrogate_benchmark.matrices import SOURCES, Source

LINE = "allocation by pooled answers, n items on average"
SIZES = (9, 11, 13, 15, 17, 20, 24, 29, 36, 44)  # answers per candidate
REGRETS = (0.01, 0.02, 0.03)
PARENTS = ("base", "arithmetic", "letters", "continents")
Floats = NDArray[np.float64]


def points_of(benchmark: Benchmark, source: Source) -> Floats:
    """Return (n_models, n_genes) genomes of a matrix's models; NaN where a model has none."""
    genomes = source.genomes()
    missing = np.full(source.space.dim, np.nan)
    return np.array([genomes.get(model, missing) for model in benchmark.matrix.models])


def one_search(benchmark: Benchmark, points: Floats, seed: int, candidates: int) -> list[Outcome]:
    """Search once among so many candidates; one outcome per size."""
    drawn = draw(benchmark, benchmark.merges, seed).first(candidates)
    truth = benchmark.truth[drawn.rows]
    budgets = [size * candidates for size in SIZES]
    picks = allocation(drawn, points[drawn.rows], budgets, seed=seed)
    return [
        Outcome(LINE, candidates, size, float(truth.max() - truth[pick.candidate]), pick.evaluations)
        for size, pick in zip(SIZES, picks, strict=True)
    ]


def main() -> None:
    """Search what is missing, print the table, and put the points into a file of `replay`."""
    options = _parser().parse_args()
    benchmark = read_benchmark(options.matrix, options.parents)
    points = points_of(benchmark, SOURCES[options.source])
    done = _read(options.rows)
    for candidates in options.candidates:
        for seed in range(options.simulations):
            if (candidates, seed) not in done:
                done[candidates, seed] = one_search(benchmark, points, seed, candidates)
                options.rows.parent.mkdir(parents=True, exist_ok=True)
                with options.rows.open("a", encoding="utf-8") as file:
                    row = [candidates, seed, [asdict(one) for one in done[candidates, seed]]]
                    file.write(json.dumps(row) + "\n")
    outcomes = [
        one
        for (count, seed), own in done.items()
        if count in options.candidates and seed < options.simulations
        for one in own
    ]
    by_regret = {regret: gathered(outcomes, most_regret=regret, calibration_of={}) for regret in REGRETS}
    for regret, found in by_regret.items():
        rows = [_row(point, benchmark.n_items) for point in found]
        title = f"regret at most {100 * regret:g} points"
        make_console().print(table(title, ("candidates", "n", "times fewer", "right (95 % interval)", "regret"), rows))
    if options.into is not None:
        _put(by_regret, options.into, options.png, benchmark.n_items)


def _row(point: Point, n_items: int) -> tuple[str, ...]:
    right = f"{100 * point.probability:.1f} % ({100 * point.low:.1f} to {100 * point.high:.1f})"
    fewer = f"{point.times_fewer(n_items):.1f}"
    return str(point.candidates), str(point.n), fewer, right, f"{100 * point.regret:.1f}"


def _put(by_regret: dict[float, list[Point]], path: Path, png: Path | None, n_items: int) -> None:
    whole = json.loads(path.read_text(encoding="utf-8"))
    for regret, found in by_regret.items():
        counts = {point.candidates for point in found}
        others = [
            one for one in whole["points"][str(regret)] if one["strategy"] != LINE or one["candidates"] not in counts
        ]
        whole["points"][str(regret)] = [*others, *map(asdict, found)]
    path.write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
    if png is not None:
        smallest = min(by_regret)
        drawn = [Point(**one) for one in whole["points"][str(smallest)]]
        draw_curves(drawn, png, n_items=n_items, most_regret=smallest)


def _read(path: Path) -> dict[tuple[int, int], list[Outcome]]:
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []
    return {(candidates, seed): [Outcome(**one) for one in own] for candidates, seed, own in rows}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m experiments.reduction.allocation_replay", description=(__doc__ or "").splitlines()[0]
    )
    here = Path(__file__).parent
    parser.add_argument("--matrix", type=Path, default=here / "smollm_matrix.parquet")
    parser.add_argument("--source", choices=list(SOURCES), default="smollm", help="whose genomes the merges have")
    parser.add_argument("--parents", nargs="*", default=list(PARENTS), metavar="NAME", help="are no candidates")
    parser.add_argument("--candidates", nargs="+", type=int, default=[200])
    parser.add_argument("--simulations", type=int, default=200)
    parser.add_argument("--rows", type=Path, default=Path("runs/reduction/allocation.jsonl"), help="kept here")
    parser.add_argument("--into", type=Path, help="a file of `replay --out`, which the points are added to")
    parser.add_argument("--png", type=Path, help="with --into: where its figure goes")
    return parser


if __name__ == "__main__":
    guarded(main)
