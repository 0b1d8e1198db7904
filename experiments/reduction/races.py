"""The same wall-clock with and without racing: CMA-ES and NSGA-II over the same experts, winners on held-out items.

    command    python -m experiments.reduction.races [--models smollm] [--minutes 10] [--seeds 0] [--json]
    cost       four searches of --minutes each per seed, and a few minutes for verifying each; two idle cores
    expected   README.md

The campaigns are those of experiments/smollm (or of experiments/quickstart, to try it) with `budget: {hours: ...}`; two
of the four have a section `racing` (--racing, YAML). All see the same items. What is done is not done again, and an
interrupted search goes on.
"""

from __future__ import annotations

import argparse
import contextlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from transformers.utils.logging import disable_progress_bar

from evomerge.archive import Archive
from evomerge.cli import guarded
from evomerge.commands import results, search
from evomerge.config import CampaignConfig, load_campaign, resolved
from evomerge.front import read_front
from evomerge.report.items_used import read_items_used
from evomerge.run_directory import RunDirectory
from evomerge.terminal import make_console, plain_table
from evomerge.verification.result import Verification
from fitness.estimators import Objective
from fitness.scores import ItemScores
from fitness.statistics import Difference, PairedComparison

EXPERIMENTS = Path(__file__).parent.parent
KINDS = ("cma_es", "nsga2")
NO_END = 1_000_000  # candidates: time ends these searches


@dataclass(frozen=True)
class Search:
    """One search and its verified winner.

    Attributes:
        optimiser: its kind.
        racing: whether candidates were stopped early.
        candidates: tried, landmarks included.
        stopped: of those, before they had answered every item.
        items: item evaluations of the search.
        items_each: of a candidate that is not stopped.
        winner: number of the winner that was picked on validation items.
        test: its macro-average on test items; the interval covers 95 %.
        over_best_parent: paired by item.
        over_whole: the same, against the winner of the search without racing; None for that search itself.
        gap: macro-average on search items minus that on test items; None where the winner has no such score.
    """

    optimiser: str
    racing: bool
    seed: int
    candidates: int
    stopped: int
    items: int
    items_each: int
    winner: int
    test: Difference
    over_best_parent: Difference
    over_whole: Difference | None
    gap: float | None


def main() -> None:
    """Run what is missing, then print the table or JSON."""
    options = _parser().parse_args()
    disable_progress_bar()
    console = Console(stderr=True) if options.json else make_console()
    found = []
    for seed in options.seeds:
        for kind in KINDS:
            whole: ItemScores | None = None
            for racing in (None, options.racing):
                name = f"{options.models}-{kind}{'' if racing is None else '-racing'}-{seed}-{options.minutes:g}min"
                content = campaign(options.models, kind, racing, seed=seed, minutes=options.minutes)
                directory = RunDirectory(options.runs / name)
                _search_and_verify(_config(content, EXPERIMENTS / options.models), directory, console)
                with contextlib.closing(Archive.read(directory.archive)) as archive:
                    each, scores = read_search(archive, kind, seed=seed, racing=racing is not None, whole=whole)
                whole = whole or scores
                found.append(each)
                console.print(f"{name}: winner {each.test.value:.3f} on test items", highlight=False)
    if options.json:
        print(json.dumps({"searches": [asdict(each) for each in found]}, indent=1))
    else:
        console.print(plain_table(f"{options.minutes:g} minutes per search", HEADER, [_row(each) for each in found]))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m experiments.reduction.races", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--models", choices=("smollm", "quickstart"), default="smollm")
    parser.add_argument("--minutes", type=float, default=10.0, help="of each search")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--racing", type=yaml.safe_load, default={"delta": 0.05}, help="the section, as YAML")
    parser.add_argument("--runs", type=Path, default=Path("runs/races"), help="where runs are kept")
    parser.add_argument("--json", action="store_true")
    return parser


def campaign(models: str, kind: str, racing: Mapping[str, Any] | None, *, seed: int, minutes: float) -> dict[str, Any]:
    """Return a campaign file's content: those of these models with that optimiser, until the time is spent."""
    smollm = yaml.safe_load((EXPERIMENTS / "smollm" / f"campaign_{kind}.yaml").read_text())
    data = smollm if models == "smollm" else yaml.safe_load((EXPERIMENTS / models / "campaign.yaml").read_text())
    name = f"{models}-{kind}" if racing is None else f"{models}-{kind}-racing"
    changes: dict[str, Any] = {"name": name, "optimiser": smollm["optimiser"], "seed": seed}
    changes["budget"] = {"evaluations": NO_END, "hours": minutes / 60}
    if models == "quickstart":
        changes["workers"] = {"cpus": 1}  # the models are too small for two
    return {**data, **changes, **({} if racing is None else {"racing": dict(racing)})}


def _config(content: Mapping[str, Any], home: Path) -> CampaignConfig:
    file = home / f".{content['name']}.yaml"  # beside the models and tasks that it names
    file.write_text(yaml.safe_dump(dict(content)))
    try:
        return resolved(load_campaign(file), home)
    finally:
        file.unlink()


def _search_and_verify(config: CampaignConfig, directory: RunDirectory, console: Console) -> None:
    """Search and verify, unless a winner has been verified already."""
    if directory.archive.exists():
        with contextlib.closing(Archive.read(directory.archive)) as archive:
            if archive.noted("verification") is not None:
                return
    search.run(config, directory, console)
    results.verify(directory, console, top=3, as_json=False)


def read_search(
    archive: Archive, kind: str, *, seed: int, racing: bool, whole: ItemScores | None
) -> tuple[Search, ItemScores]:
    """Return a verified search, and its winner's scores on test items.

    Args:
        archive: with a verification.
        kind: the optimiser's.
        seed: the campaign's.
        racing: whether it raced.
        whole: test scores of the winner of the search without racing; None for that search itself.
    """
    winner = Verification.from_json(archive.noted("verification") or "").winners[0]
    scores, used = archive.scores(winner.candidate, "test"), read_items_used(archive)
    assert scores is not None  # a verified winner has them
    assert used is not None
    task_of = {item: item.split("/")[0] for item in scores.item_ids}
    objectives = tuple(Objective(task, (task,)) for task in dict.fromkeys(task_of.values()))
    comparison = PairedComparison(objectives, task_of)
    search = Search(
        optimiser=kind,
        racing=racing,
        seed=seed,
        candidates=archive.n_candidates,
        stopped=len(read_front(archive).stopped),
        items=int(used.answered[-1]),
        items_each=used.each,
        winner=winner.candidate,
        test=comparison.mean(scores),
        over_best_parent=winner.comparisons[0].mean,
        over_whole=None if whole is None else comparison.of_means(scores, whole),
        gap=None if winner.gap is None else winner.gap.value,
    )
    return search, scores


HEADER: tuple[str, ...] = (
    *("search", "seed", "candidates", "stopped", "item evaluations"),
    *("winner on test items", "over the best parent", "over the one without racing", "winner's curse"),
)


def _row(each: Search) -> tuple[str, ...]:
    return (
        each.optimiser + (", racing" if each.racing else ""),
        str(each.seed),
        str(each.candidates),
        str(each.stopped),
        f"{each.items:,}",
        _interval(each.test, sign=""),
        _interval(each.over_best_parent),
        "" if each.over_whole is None else _interval(each.over_whole),
        "" if each.gap is None else f"{100 * each.gap:+.1f}",
    )


def _interval(d: Difference, sign: str = "+") -> str:
    """Return percentage points with the 95 % interval."""
    return f"{100 * d.value:{sign}.1f} ({100 * d.low:{sign}.1f} to {100 * d.high:{sign}.1f})"


if __name__ == "__main__":
    guarded(main)
