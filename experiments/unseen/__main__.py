"""Search on the tasks of all experts but one, and test the winners on that one's too.

    python -m experiments.unseen --models quickstart --seeds 0 1 2 3 4 [--evaluations 60] [--searches NAME ...]
    python -m experiments.unseen --models smollm --evaluations 40

The unseen task is a guard (an objective of weight 0): it is scored, and neither the optimiser nor the pick is told. All
experts are parents. Abrantes et al. (arXiv:2508.16204) report that M2N2 keeps what the fitness does not see. What is
done is not done again.

cost       quickstart: half a minute per search and seed on one idle core; smollm: 5 to 8 seconds per candidate
expected   README.md: CMA-ES and niches keep more of it than NSGA-II, on two seeds
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml
from transformers.utils.logging import disable_progress_bar

import evomerge as em
from experiments.optimisers.figure import in_words
from experiments.printing import guarded, make_console, table

CAMPAIGNS = {
    name: Path(__file__).parents[1] / name / file
    for name, file in (("quickstart", "campaign.yaml"), ("smollm", "campaign_nsga2.yaml"))
}
_NICHES = {"kind": "niches"}
_GAIN = {"kind": "m2n2", "population": 15, "split": "tensor", "gain": [0.5, 3.0]}
SEARCHES: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "cma_es": {"optimiser": {"kind": "cma_es", "population": 12}},
        "nsga2": {"optimiser": {"kind": "nsga2", "population": 16}},
        "m2n2": {"space": _NICHES, "optimiser": {"kind": "m2n2", "population": 15, "split": "tensor"}},
        "m2n2 gain": {"space": _NICHES, "optimiser": _GAIN},
        "niches": {"optimiser": {"kind": "niches"}},
    }
)


@dataclass(frozen=True)
class Found:
    """A search's winner on test items, or what it is compared with."""

    search: str
    seed: int
    seen: float  # mean accuracy on the tasks that were searched on
    unseen: float  # accuracy on the other


def main() -> None:
    """Run what is missing, then print the table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", choices=CAMPAIGNS, default="quickstart")
    parser.add_argument("--unseen", help="the objective that is not seen; left out: the campaign's last")
    parser.add_argument("--searches", nargs="+", choices=list(SEARCHES), default=list(SEARCHES), metavar="NAME")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--evaluations", type=int, default=60)
    parser.add_argument("--runs", type=Path, default=Path("runs/unseen"), help="where runs are kept")
    parser.add_argument("--json", action="store_true", help="print every winner instead of the table")
    given = parser.parse_args()
    disable_progress_bar()
    console = make_console(stderr=given.json)
    found: list[Found] = []
    for seed in given.seeds:
        for name in given.searches:
            directory = given.runs / f"{given.models}-{name}-{seed}-{given.evaluations}"
            sections = sections_of(given.models, given.unseen, name, seed, given.evaluations)
            new = search(name, CAMPAIGNS[given.models], sections, directory)
            found += [one for one in new if one not in found]
            console.print(f"{name}, seed {seed}: {100 * new[0].seen:.1f} seen, {100 * new[0].unseen:.1f} unseen")
    if given.json:
        print(json.dumps({"winners": [asdict(one) for one in found]}, indent=2))
        return
    console.print(
        table("Winners on test items (%)", ("search", "seeds", "tasks searched on", "unseen task"), rows(found))
    )


def sections_of(models: str, unseen: str | None, name: str, seed: int, evaluations: int) -> dict[str, Any]:
    """Return what takes the place of a campaign's own sections."""
    objectives = yaml.safe_load(CAMPAIGNS[models].read_text())["objectives"]
    unseen = unseen or objectives[-1]["name"]
    if unseen not in [objective["name"] for objective in objectives]:
        raise SystemExit(f"--unseen: expected one of {[o['name'] for o in objectives]}, found {unseen!r}")
    few = {"splits": {"search": 0.05, "validation": 0.1, "test": 0.15}, "workers": {"cpus": 1}}
    return {
        **(few if models == "quickstart" else {}),
        "objectives": [{**one, "weight": 0 if one["name"] == unseen else 1} for one in objectives],
        "landmarks": "none",  # RegMean reads prompts of every expert
        "seed": seed,
        "budget": {"evaluations": evaluations},
        **SEARCHES[name],
    }


def search(name: str, campaign: Path, sections: Mapping[str, Any], directory: Path) -> list[Found]:
    """Search and verify as far as that is not done; return the winner, then what it is compared with."""
    run = em.search.from_yaml(campaign, set=dict(sections), run_dir=directory)
    weights = {objective["name"]: objective["weight"] for objective in sections["objectives"]}
    seed, verified = int(sections["seed"]), run.verify(top=3)
    order = sorted(verified.rows, key=lambda row: row.candidate != verified.winner)
    winners = {one.candidate for one in verified.verification.winners}
    found = []
    for row in order:
        values = {o.name: o.value for o in row.objectives}
        seen = [values[objective] for objective, weight in weights.items() if weight]
        (unseen,) = [values[objective] for objective, weight in weights.items() if not weight]
        if row.candidate == verified.winner or row.candidate not in winners:
            label = name if row.candidate == verified.winner else row.name
            found.append(Found(label, seed, sum(seen) / len(seen), unseen))
    return found


def rows(found: Sequence[Found]) -> list[tuple[str, ...]]:
    """Return a row per search or landmark, means over its seeds."""
    made: list[tuple[str, ...]] = []
    for name in dict.fromkeys(one.search for one in found):
        mine = [one for one in found if one.search == name]
        seeds = str(len({one.seed for one in mine}))
        made.append((name, seeds, in_words([one.seen for one in mine]), in_words([one.unseen for one in mine])))
    return made


if __name__ == "__main__":
    guarded(main)
