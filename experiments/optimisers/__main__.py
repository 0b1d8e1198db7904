"""Every optimiser and space on the quickstart models: the same items, the same number of candidates, several seeds.

    python -m experiments.optimisers [--searches NAME ...] [--seeds 0 1 2 3 4] [--evaluations 60]
        [--json | --png FILE]

A seed draws the splits and everything random; so for one seed all searches see the same items. Reported per search, as
means over seeds with 95 % intervals of Student's t: the hypervolume of the front on search items (to the origin, in
percent of the unit cube), the macro-average on test items of the winner that was picked on validation items, and their
differences to random search's of the same seed. What is done is not done again.

cost       20 to 30 seconds per search and seed on one idle core: forty minutes in all
expected   README.md: nothing that five seeds can tell from random search at this budget, but the narrower spaces of
           m2n2 and layer flow, which are worse here
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import yaml
from transformers.utils.logging import disable_progress_bar

from experiments.optimisers.figure import draw, in_words
from experiments.optimisers.runs import LANDMARKS, Run, landmark, run
from experiments.printing import guarded, make_console, table
from experiments.quickstart.train import MODELS_DIRECTORY, train_all

HERE = Path(__file__).parent
RANDOM = "random"
HEADER = ("search", "seeds", "hypervolume", "over random", "winner, test", "over random", "over best parent")


def main() -> None:
    """Run what is missing, then print the table or JSON."""
    searches = yaml.safe_load((HERE / "searches.yaml").read_text())
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--searches", nargs="+", choices=list(searches), default=list(searches), metavar="NAME")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--evaluations", type=int, default=60)
    parser.add_argument("--runs", type=Path, default=Path("runs/optimisers"), help="where runs are kept")
    parser.add_argument("--png", type=Path, help="where a figure of the table goes; left out: nowhere")
    parser.add_argument("--json", action="store_true", help="print every run instead of the table")
    arguments = parser.parse_args()
    disable_progress_bar()
    console = make_console(stderr=arguments.json)
    train_all(MODELS_DIRECTORY)
    runs: list[Run] = []
    for seed in arguments.seeds:
        for name in arguments.searches:
            directory = arguments.runs / f"{name}-{seed}-{arguments.evaluations}"
            runs.append(run(name, searches[name], seed, evaluations=arguments.evaluations, directory=directory))
            console.print(f"{name}, seed {seed}: winner {runs[-1].winner:.3f} on test items")
    if arguments.json:
        print(json.dumps({"runs": [asdict(each) for each in runs]}, indent=2))
        return
    console.print(table("Searches", HEADER, _rows(runs)))
    if arguments.png:
        draw(runs, arguments.png)


def _rows(runs: Sequence[Run]) -> list[tuple[str, ...]]:
    """Return a row per search, then the landmarks'."""
    parents = landmark(LANDMARKS[0], runs)
    by_chance = [each for each in runs if each.search == RANDOM]
    fronts = {each.seed: each.hypervolume for each in by_chance}
    chosen = {each.seed: each.winner for each in by_chance}
    rows = []
    for name in dict.fromkeys(each.search for each in runs):
        mine = [each for each in runs if each.search == name]
        hypervolumes = _cells({each.seed: each.hypervolume for each in mine}, {} if name == RANDOM else fronts)
        winners = _cells({each.seed: each.winner for each in mine}, {} if name == RANDOM else chosen, parents)
        rows.append((name, str(len(mine)), *hypervolumes, *winners))
    for name in LANDMARKS:
        found = landmark(name, runs)
        rows.append((name, str(len(found)), "", "", *_cells(found, chosen, {} if found == parents else parents)))
    return rows


def _cells(values: Mapping[int, float], *others: Mapping[int, float]) -> tuple[str, ...]:
    """Return the cells of values by seed, and of their differences to others of the same seed."""
    differences = [[value - other[seed] for seed, value in values.items() if seed in other] for other in others]
    return (in_words(list(values.values())), *(in_words(found, sign="+") for found in differences))


if __name__ == "__main__":
    guarded(main)
