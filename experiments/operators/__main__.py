"""Every merge operator on families of models: as it comes, and tuned with 40 evaluations, on held-out items.

    python -m experiments.operators [--families NAME ...] [--settings NAME ...] [--seeds 0 1 2] [--modes default tuned]
        [--evaluations 40] [--results FILE] [--png FILE] [--summary FILE] [--json]

A seed draws the items to tune on and to test on, random masks and CMA-ES; for one seed all operators see the same
items. Tuned is what each operator's own genes can do, one set for the whole model. What is in the results is not run
again, and a run that is stopped goes on; new operators of the registry join by themselves.

cost       processor seconds for each operator and seed: 1 as it comes and 10 tuned on the quickstart's models, half an
           hour for all of them; SmolLM2 half a minute and five minutes
expected   README.md
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from transformers.utils.logging import disable_progress_bar

from experiments.operators.families import FAMILIES, Bench
from experiments.operators.runs import ALONE, Results, Row, best_alone, default, tuned
from experiments.operators.settings import SETTINGS
from experiments.operators.tables import claims, draw, markdown, summary
from experiments.printing import guarded, make_console

HERE = Path(__file__).parent
RESULTS = HERE / "results.jsonl"
TIMED = ("quickstart",)  # families whose merges are timed, with the first seed
MODES = ("default", "tuned")


def main() -> None:
    """Run what is missing, then print the table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--families", nargs="+", choices=list(FAMILIES), default=["quickstart"], metavar="NAME")
    parser.add_argument("--settings", nargs="+", choices=list(SETTINGS), default=list(SETTINGS), metavar="NAME")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--modes", nargs="*", choices=MODES, default=list(MODES))
    parser.add_argument("--evaluations", type=int, default=40)
    parser.add_argument("--results", type=Path, default=RESULTS, help="where rows are kept")
    parser.add_argument("--png", type=Path, help="where a figure of the table goes; left out: nowhere")
    parser.add_argument("--summary", type=Path, help="where the figures of the operators' cards go; left out: nowhere")
    parser.add_argument("--json", action="store_true", help="print every row instead of the table")
    arguments = parser.parse_args()
    disable_progress_bar()
    results = Results(arguments.results)
    for mode in arguments.modes:
        for seed in arguments.seeds:
            for family in arguments.families:
                run(results, family, seed, mode, settings=arguments.settings, evaluations=arguments.evaluations)
    if arguments.json:
        print(json.dumps({"rows": [asdict(row) for row in results]}, indent=2))
        return
    for family in arguments.families:
        print(f"## {family}\n\n{markdown(list(results), family)}")
    print(f"## Claims\n\n{claims(list(results), arguments.families)}")
    if arguments.summary:
        arguments.summary.write_text(json.dumps(summary(list(results)), indent=1) + "\n", encoding="utf-8")
    if arguments.png:
        draw(list(results), arguments.families, arguments.png)


def run(results: Results, family: str, seed: int, mode: str, *, settings: Sequence[str], evaluations: int) -> None:
    """Run those settings of one family, seed and mode that are not among the results."""
    missing = [name for name in (ALONE, *settings) if (family, name, mode, seed) not in results]
    if mode == "tuned" and ALONE in missing:
        missing.remove(ALONE)
    if not missing:
        return
    console = make_console(stderr=True)
    FAMILIES[family].train()
    bench = Bench(FAMILIES[family], seed)
    for name in missing:
        row: Row | None
        if name == ALONE:
            row = best_alone(bench)
        elif mode == "default":
            row = default(bench, SETTINGS[name], timed=seed == 0 and family in TIMED)
        else:
            row = tuned(bench, SETTINGS[name], evaluations)
        if row is not None:
            results.add(row)
            console.print(f"{family}, seed {seed}, {name}, {mode}: {100 * row.test:.1f} on test items {row.failed}")


if __name__ == "__main__":
    guarded(main)
