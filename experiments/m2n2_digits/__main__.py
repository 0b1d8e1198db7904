"""Evolve digit classifiers with M2N2 and its ablations, as the paper's released code does.

    python -m experiments.m2n2_digits --start scratch --seeds 1 2 3 4 5
    python -m experiments.m2n2_digits --start pretrained --method m2n2 no_attraction no_split ga --seeds 1 2 3 4 5
    python -m experiments.m2n2_digits --peer NATURAL_NICHES_CHECKOUT --peer-python ITS_VENV/bin/python

Cost: about a minute for 50,000 evaluations on two cores, ten seconds for 10,000. Expected: mean test accuracy from
scratch at least 86 % (released 87), from pre-trained halves at least 68 % (released 68.3), and there
m2n2 > no_attraction > no_split > ga. With --peer: evaluations per second of this code and of the released one.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from rich.table import Table

from experiments.m2n2_digits.peer import side_by_side
from experiments.m2n2_digits.runs import Run, kept, methods_of
from experiments.printing import guarded, make_console, table

EVALUATIONS = {"scratch": 50_000, "pretrained": 10_000}


def main() -> None:
    """Run the experiment."""
    parser = _parser()
    options = parser.parse_args()
    if unknown := [method for method in options.method if method not in methods_of(options.start)]:
        parser.error(f"--method: expected one of {', '.join(methods_of(options.start))}, found {unknown[0]}")
    evaluations = options.evaluations or EVALUATIONS[options.start]
    console = make_console(stderr=options.json)
    if options.peer is not None:
        found = side_by_side(options.peer, options.peer_python, start=options.start, evaluations=evaluations)
        print(json.dumps(found) if options.json else "\n".join(f"{name}: {_rounded(found[name])}" for name in found))
        return
    runs: list[Run] = []
    for seed in options.seeds:
        for method in options.method:
            runs.append(kept(options.runs, options.start, method, seed, evaluations))
            console.print(_in_words(runs[-1]))
    if options.json:
        print(json.dumps({"runs": [{k: v for k, v in asdict(each).items() if k != "curve"} for each in runs]}))
        return
    console.print(_table(runs))
    path = options.png or Path(f"runs/m2n2_digits/{options.start}.png")
    draw(runs, path, title=f"{options.start}: mean test accuracy")
    console.print(f"curves: {path}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m experiments.m2n2_digits",
        description=(__doc__ or "").splitlines()[0],
    )
    parser.add_argument("--start", choices=EVALUATIONS, default="scratch")
    parser.add_argument("--method", choices=methods_of("scratch"), nargs="+", default=["m2n2"])
    parser.add_argument("--seeds", type=_seed, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--evaluations", type=_positive, help="left out: 50,000 from scratch, 10,000 pretrained")
    parser.add_argument("--runs", type=Path, help="where runs are kept, and not run again; left out: nowhere")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table, and draw nothing")
    parser.add_argument("--png", type=Path, help="where the curves go; left out: runs/m2n2_digits/START.png")
    parser.add_argument("--peer", type=Path, help="a checkout of SakanaAI/natural_niches: compare speeds, nothing else")
    parser.add_argument(
        "--peer-python", type=Path, default=Path(sys.executable), help="a Python that has jax and optax"
    )
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected at least 1, found {number}")
    return number


def _seed(text: str) -> int:
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"expected at least 0, found {number}")
    return number


def _rounded(value: float | list[float]) -> str:
    return ", ".join(f"{one:.1f}" for one in (value if isinstance(value, list) else [value]))


def _in_words(each: Run) -> str:
    speed = f"{each.evaluations_per_second:.0f} evaluations per second"
    return f"{each.method}, seed {each.seed}: test accuracy {100 * each.test_accuracy:.1f} %, {speed}"


def _table(runs: list[Run]) -> Table:
    rows = []
    for method in dict.fromkeys(each.method for each in runs):
        own = [each for each in runs if each.method == method]
        accuracies = [100 * each.test_accuracy for each in own]
        error = f"{half_width(accuracies):.1f}" if len(own) > 1 else "-"
        speed = mean(each.evaluations_per_second for each in own)
        rows.append([method, str(len(own)), f"{mean(accuracies):.1f}", error, f"{speed:.0f}"])
    header = ["method", "runs", "test accuracy, mean (%)", "95 % interval, ±", "evaluations per second"]
    return table("", header, rows)


def half_width(values: ArrayLike) -> Any:
    """Return half the 95 % interval of the mean along the first axis, by Student's t; of at least two values."""
    from scipy.stats import t as student

    found = np.asarray(values)
    return student.ppf(0.975, len(found) - 1) * found.std(axis=0, ddof=1) / len(found) ** 0.5


def draw(runs: Sequence[Run], path: Path, *, title: str) -> None:
    """Write one curve per method; the runs of a method have the same number of evaluations."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.0, 4.5), layout="constrained")
    axes = figure.subplots()
    for method in dict.fromkeys(each.method for each in runs):
        curves = np.array([each.curve for each in runs if each.method == method])
        evaluations, accuracies = curves[0, :, 0], 100 * curves[:, :, 1]
        centre = accuracies.mean(axis=0)
        (line,) = axes.plot(evaluations, centre, label=f"{method}: {centre[-1]:.1f} %")
        if len(accuracies) > 1:
            error = half_width(accuracies)
            axes.fill_between(evaluations, centre - error, centre + error, color=line.get_color(), alpha=0.2)
    axes.set(title=title, xlabel="evaluations", ylabel="test accuracy (%)")
    axes.grid(alpha=0.3)
    axes.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    guarded(main)
