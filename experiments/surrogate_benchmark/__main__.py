"""Every optimiser on emulators of real merges: enough seeds to tell, in minutes.

    command    python -m experiments.surrogate_benchmark [--quick] [--searches NAME ...] [--markdown] [--png FILE]
    cost       README.md; what is done is kept in --rows and not done again
    expected   README.md

A seed draws the world (see `emulator`), the items of each split and everything random; for one seed all searches see
the same. Reported are differences to random search of the same seed, in points, with 95 % intervals of Student's t.
"""

from __future__ import annotations

import argparse
import json
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from experiments.printing import guarded, make_console, table
from experiments.reduction.tables import as_markdown
from experiments.surrogate_benchmark.figure import draw
from experiments.surrogate_benchmark.kept import Kept
from experiments.surrogate_benchmark.matrices import SOURCES
from experiments.surrogate_benchmark.searches import BUDGETS, SEARCHES, SETTINGS, one_search, searches
from experiments.surrogate_benchmark.tables import as_json, cells, tables


def main() -> None:
    """Run what is missing, then print the tables."""
    options = _parser().parse_args()
    if options.quick:
        options.matrices, options.seeds, options.evaluations = options.matrices[:1], 3, [40]
    console = make_console(stderr=options.json or options.markdown)
    kept = Kept(options.rows)
    wanted = list(
        searches(options.matrices, options.settings, options.searches, options.evaluations, n_seeds=options.seeds)
    )
    known = kept.read()
    if options.show:
        wanted = [one for one in wanted if one in known]
    missing = [one for one in wanted if one not in known]
    if missing:
        with ProcessPoolExecutor(options.processes, mp_context=get_context("spawn")) as pool:
            for done, row in enumerate(pool.map(one_search, missing), start=1):
                kept.add([row])
                if done % 50 == 0 or done == len(missing):
                    console.print(f"{done} of {len(missing)} searches: {row.search} on {row.matrix}")
    known = kept.read()
    found = cells(known[one] for one in wanted)
    if options.out is not None:
        options.out.write_text(json.dumps(as_json(found), indent=1) + "\n", encoding="utf-8")
    if options.json:
        print(json.dumps(as_json(found)))
    for title, rows in () if options.json else tables(found):
        if options.markdown:
            print("\n".join(as_markdown(title, rows)))
        else:
            console.print(table(title, rows[0], rows[1:]))
    if options.png is not None:
        draw(found, options.png)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m experiments.surrogate_benchmark", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--matrices", nargs="+", choices=list(SOURCES), default=list(SOURCES), metavar="NAME")
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument("--searches", nargs="+", choices=list(SEARCHES), default=list(SEARCHES), metavar="NAME")
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--evaluations", nargs="+", type=int, default=list(BUDGETS))
    parser.add_argument("--quick", action="store_true", help="the first matrix, three seeds, 40 evaluations")
    parser.add_argument("--processes", type=int, default=1, choices=(1, 2))
    parser.add_argument("--rows", type=Path, default=Path("runs/surrogate_benchmark/rows.jsonl"), help="kept here")
    parser.add_argument("--show", action="store_true", help="run nothing: what is kept")
    parser.add_argument("--png", type=Path, help="where the figure goes; left out: none")
    parser.add_argument("--out", type=Path, help="write the table's numbers there as JSON")
    parser.add_argument("--markdown", action="store_true", help="print the tables as README.md has them")
    parser.add_argument("--json", action="store_true", help="print JSON instead")
    return parser


if __name__ == "__main__":
    guarded(main)
