"""Parents of noise among the quickstart's experts: what does each one cost a search of the same budget?

    python -m experiments.distractors [--searches NAME ...] [--seeds 0 1 2] [--evaluations 60] [--counts 0 1 2 4 8]
        [--rows FILE]

Sakana's published runs lose 6 to 18 % of their score to 1, 2, 4 and 8 irrelevant models (MGSM-JA 50.0 -> 46.8, 46.8,
48.4, 40.8; Akiba et al., 2025). Here a distractor is the base plus white noise as long as an expert's task vector, in
every tensor. A seed draws the items, the noise and everything random. What is done is not done again.

cost       about half a minute per search on one idle core: twenty minutes in all
expected   README.md
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from transformers.utils.logging import disable_progress_bar

from experiments.distractors.runs import Run, make_distractor, run
from experiments.optimisers.figure import in_words
from experiments.printing import guarded, make_console, table
from experiments.quickstart.train import MODELS_DIRECTORY, train_all

SAKANA = {0: 50.0, 1: 46.8, 2: 46.8, 4: 48.4, 8: 40.8}
SEARCHES: dict[str, dict[str, Any]] = {
    "default": {},
    "default, no landmarks": {"landmarks": "none"},
    "random, no landmarks": {"landmarks": "none", "optimiser": "random"},
    "bayes, no landmarks": {"landmarks": "none", "optimiser": "bayes"},
}
HEADER = ("search", "noise parents", "seeds", "winner, test", "relative change", "Sakana's", "winners")


def main() -> None:
    """Run what is missing, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--searches", nargs="+", choices=list(SEARCHES), default=list(SEARCHES)[:3], metavar="NAME")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--counts", nargs="+", type=int, default=list(SAKANA))
    parser.add_argument("--evaluations", type=int, default=60)
    parser.add_argument("--runs", type=Path, default=Path("runs/distractors"), help="where runs are kept")
    parser.add_argument("--rows", type=Path, help="a JSON file for every run; left out: none")
    arguments = parser.parse_args()
    disable_progress_bar()
    console = make_console()
    train_all(MODELS_DIRECTORY)
    arguments.runs.mkdir(parents=True, exist_ok=True)
    noise = {
        (seed, i): make_distractor(MODELS_DIRECTORY, arguments.runs / f"noise-{seed}-{i}", 100 * seed + i)
        for seed in arguments.seeds
        for i in range(max(arguments.counts))
    }
    runs: list[Run] = []
    for seed in arguments.seeds:
        for name in arguments.searches:
            for count in arguments.counts:
                directory = arguments.runs / f"{name.replace(', ', '-').replace(' ', '-')}-{count}-{seed}"
                parents = [noise[seed, i] for i in range(count)]
                options = {"evaluations": arguments.evaluations, "changes": SEARCHES[name]}
                runs.append(run(name, MODELS_DIRECTORY, parents, seed, directory=directory, **options))
                console.print(f"{name}, {count} noise parents, seed {seed}: {runs[-1].winner:.3f} on test items")
                if arguments.rows:
                    arguments.rows.write_text(json.dumps([asdict(each) for each in runs], indent=1) + "\n")
    console.print(table("Distractors", HEADER, _rows(runs)))


def _rows(runs: Sequence[Run]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for name, count in dict.fromkeys((each.search, each.distractors) for each in runs):
        mine = {each.seed: each for each in runs if (each.search, each.distractors) == (name, count)}
        alone = {each.seed: each.winner for each in runs if (each.search, each.distractors) == (name, 0)}
        changes = [each.winner / alone[seed] - 1.0 for seed, each in mine.items() if seed in alone]
        published = f"{SAKANA[count] / SAKANA[0] - 1.0:+.1%}" if count in SAKANA else ""
        found = sorted(dict.fromkeys(each.winner_is for each in mine.values()))
        told = "" if count == 0 else f"{np.mean(changes):+.1%} ({', '.join(f'{c:+.1%}' for c in changes)})"
        winners = in_words([each.winner for each in mine.values()])
        rows.append((name, str(count), str(len(mine)), winners, told, published if count else "", ", ".join(found)))
    return rows


if __name__ == "__main__":
    guarded(main)
