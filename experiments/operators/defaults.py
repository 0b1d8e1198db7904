"""Which campaign should `evomerge init` write? Those of campaigns.yaml on the same items, at the same budgets.

    python -m experiments.operators.defaults [--families NAME ...] [--campaigns NAME ...] [--seeds 0 1 2 3 4]
        [--evaluations 60 120] [--runs runs/operators] [--results FILE]

Every campaign is `evomerge.search` as a user starts it, landmarks among its candidates; `verify` picks its winner on
validation items, and what is reported is the winner's macro-average on test items. A seed draws the items and
everything random. The campaign of the larger budget is that of the smaller one, gone on with. What is done is not done
again.

cost       on one core half a minute for 60 candidates of the tiny families
expected   README.md
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

import yaml
from transformers.utils.logging import disable_progress_bar

import evomerge as em
from experiments.operators.families import BASE, FAMILIES, Family
from experiments.optimisers.figure import in_words
from experiments.printing import guarded, make_console

HERE = Path(__file__).parent
RESULTS = HERE / "defaults.jsonl"
BASELINE = "ties, 22 genes a parent, nsga2"
LANDMARKS = ("best parent", "uniform mean", "default TIES")


@dataclass(frozen=True)
class Outcome:
    """What one campaign with one seed found: macro-averages on test items.

    Attributes:
        winner: of the candidate that validation items chose.
        landmarks: name -> the same of what every campaign scores.
    """

    family: str
    campaign: str
    seed: int
    evaluations: int
    winner: float
    landmarks: Mapping[str, float]

    @property
    def key(self) -> tuple[str, str, int, int]:
        """What is not run twice."""
        return self.family, self.campaign, self.seed, self.evaluations


def main() -> None:
    """Run what is missing, then print the table."""
    campaigns = yaml.safe_load((HERE / "campaigns.yaml").read_text())
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--families", nargs="+", choices=list(FAMILIES), default=["quickstart"], metavar="NAME")
    parser.add_argument("--campaigns", nargs="+", choices=list(campaigns), default=list(campaigns), metavar="NAME")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--evaluations", nargs="+", type=int, default=[60, 120])
    parser.add_argument("--runs", type=Path, default=Path("runs/operators"), help="where campaigns are kept")
    parser.add_argument("--results", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    disable_progress_bar()
    console = make_console(stderr=True)
    found = read(arguments.results)
    done = {outcome.key for outcome in found}
    order = product(sorted(arguments.evaluations), arguments.seeds, arguments.families, arguments.campaigns)
    for evaluations, seed, family, name in order:
        if (family, name, seed, evaluations) in done:
            continue
        FAMILIES[family].train()
        directory = arguments.runs / f"{family}-{name.replace(', ', '-').replace(' ', '_')}-{seed}"
        outcome = run(FAMILIES[family], name, campaigns[name], seed, evaluations=evaluations, directory=directory)
        found.append(outcome)
        keep(arguments.results, outcome)
        console.print(f"{family}, {name}, seed {seed}, {evaluations}: {100 * outcome.winner:.1f}")
    for family in arguments.families:
        print(f"## {family}\n\n{markdown([o for o in found if o.family == family])}")


def run(
    family: Family, name: str, sections: Mapping[str, Any], seed: int, *, evaluations: int, directory: Path
) -> Outcome:
    """Search, go on with a smaller search of before if there is one, and verify."""
    if directory.exists():
        searched = em.load(directory).resume(evaluations)
    else:
        sources = family.sources
        searched = em.search(
            parents={expert: sources[expert] for expert in family.experts},
            base=sources[BASE],
            objectives={path.stem: path for path in family.tasks},
            evaluations=evaluations,
            seed=seed,
            splits={str(split): share for split, share in family.splits.items()} | {"drawn": "by_place"},
            export={"dtype": family.dtype},
            workers={"cpus": 1},
            run_dir=directory,
            **sections,
        )
    verified = searched.verify(top=3)
    means = {row.name: row.mean for row in verified.rows}
    means["best parent"] = means[verified.verification.best_parent]
    landmarks = {row.name: row.mean for row in verified.rows if row.kind != "winner"}
    landmarks["best parent"] = means["best parent"]
    winner = next(row.mean for row in verified.rows if row.candidate == verified.winner)
    return Outcome(family.name, name, seed, evaluations, winner, landmarks)


def read(path: Path) -> list[Outcome]:
    """Return the outcomes that a file holds."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [Outcome(**json.loads(line)) for line in lines]


def keep(path: Path, outcome: Outcome) -> None:
    """Add an outcome to a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(outcome)) + "\n")


def markdown(found: Sequence[Outcome]) -> str:
    """Return a family's table: a row per campaign, its winners and what they are ahead of the old template's."""
    budgets = sorted({outcome.evaluations for outcome in found})
    header = ["campaign", *(f"{n} candidates{more}" for n in budgets for more in ("", ", over the first"))]
    lines = [header, ["---", *["---:"] * (len(header) - 1)]]
    for name in dict.fromkeys(outcome.campaign for outcome in found):
        lines.append([name, *(cell for n in budgets for cell in _cells(found, name, n))])
    first = {outcome.seed: outcome.landmarks for outcome in found}
    for name in LANDMARKS:
        if values := [landmarks[name] for landmarks in first.values() if name in landmarks]:
            lines.append([f"*{name}*", in_words(values), *[""] * (len(header) - 2)])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cells(found: Sequence[Outcome], name: str, evaluations: int) -> tuple[str, str]:
    of = {o.key: o.winner for o in found}
    family = found[0].family
    seeds = sorted({o.seed for o in found})
    mine = {s: of[family, name, s, evaluations] for s in seeds if (family, name, s, evaluations) in of}
    ahead = [v - of[k] for s, v in mine.items() if (k := (family, BASELINE, s, evaluations)) in of]
    return in_words(list(mine.values())), "" if name == BASELINE else in_words(ahead, sign="+")


if __name__ == "__main__":
    guarded(main)
