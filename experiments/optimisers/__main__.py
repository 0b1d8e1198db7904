"""Every optimiser and space on the quickstart models: the same items, the same number of candidates, several seeds.

    python -m experiments.optimisers [--searches NAME ...] [--seeds 0 1 2 3 4] [--evaluations 60] [--json]

A seed draws the splits and everything random; so for one seed all searches see the same items. Reported per search, as
means over seeds with 95 % intervals of Student's t: the hypervolume of the front on search items (to the origin; of the
macro-averages in percent of the unit cube), the macro-average on test items of the winner that was picked on validation
items, and its difference to random search's winner of the same seed. What is done is not done again.

cost       20 to 30 seconds per search and seed on one core: half an hour in all
expected   not stated yet: the whole table has not been measured
"""

from __future__ import annotations

import argparse
import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from rich.console import Console
from transformers.utils.logging import disable_progress_bar

from evomerge.archive import Archive
from evomerge.assembly import build_parts, build_pool
from evomerge.assembly.live_models import with_compute_dtype
from evomerge.assembly.optimiser import build_optimiser
from evomerge.campaign.loop import Campaign
from evomerge.campaign.progress import Limits
from evomerge.cli import guarded
from evomerge.config import CampaignConfig, dump_campaign, load_campaign, resolved
from evomerge.front import read_front
from evomerge.run_directory import RunDirectory
from evomerge.terminal import make_console, plain_table
from evomerge.verification.verifier import Verifier
from experiments.quickstart.train import MODELS_DIRECTORY, train_all

HERE = Path(__file__).parent
CAMPAIGN = HERE.parent / "quickstart" / "campaign.yaml"
RANDOM = "random"


@dataclass(frozen=True)
class Run:
    """One search with one seed.

    Attributes:
        hypervolume: of the front on search items, to the origin.
        winner: macro-average on test items of the candidate that was picked on validation items.
        best_parent: the same of the best parent.
        uniform_mean: the same of the mean of the parents; None where the space has no such landmark.
    """

    search: str
    seed: int
    candidates: int
    hypervolume: float
    winner: float
    best_parent: float
    uniform_mean: float | None


def main() -> None:
    """Run what is missing, then print the table or JSON."""
    searches = yaml.safe_load((HERE / "searches.yaml").read_text())
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--searches", nargs="+", choices=list(searches), default=list(searches), metavar="NAME")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--evaluations", type=int, default=60)
    parser.add_argument("--runs", type=Path, default=Path("runs/optimisers"), help="where runs are kept")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    disable_progress_bar()
    console = Console(stderr=True) if arguments.json else make_console()
    train_all(MODELS_DIRECTORY)
    runs = []
    for seed in arguments.seeds:
        for name in arguments.searches:
            directory = RunDirectory(arguments.runs / f"{name}-{seed}-{arguments.evaluations}")
            config = _campaign(searches[name], seed=seed, evaluations=arguments.evaluations)
            runs.append(_run(name, config, directory))
            console.print(f"{name}, seed {seed}: winner {runs[-1].winner:.3f} on test items", highlight=False)
    if arguments.json:
        print(json.dumps({"runs": [asdict(run) for run in runs]}, indent=2))
    else:
        console.print(plain_table("Searches", HEADER, [_row(name, runs) for name in arguments.searches]))


def _campaign(changes: Mapping[str, Any], *, seed: int, evaluations: int) -> CampaignConfig:
    data = yaml.safe_load(CAMPAIGN.read_text())
    data |= {**changes, "seed": seed, "budget": {"evaluations": evaluations}}
    data["splits"] = {"search": 0.05, "validation": 0.1, "test": 0.15}
    data["workers"] = {"cpus": 1}  # the models are too small for two
    file = CAMPAIGN.with_name(".comparison.yaml")  # beside the models and tasks that it names
    file.write_text(yaml.safe_dump(data))
    try:
        return with_compute_dtype(resolved(load_campaign(file), file.parent))
    finally:
        file.unlink()


def _run(name: str, config: CampaignConfig, directory: RunDirectory) -> Run:
    with directory.locked(), _archive(config, directory) as archive:
        parts = build_parts(config)
        pool = build_pool(parts, directory.root)
        with contextlib.closing(pool):
            limits = Limits(config.budget.evaluations, None)
            optimiser = build_optimiser(config, parts.space)
            Campaign(archive, parts.space, optimiser, estimator=parts.estimator, pool=pool, limits=limits).run()
            verified = Verifier(archive, pool, parts.estimator, parts.comparison).verify(3, validation=True)
        means = {row.name: row.mean for row in verified.rows}
        return Run(
            search=name,
            seed=config.seed,
            candidates=archive.n_candidates,
            hypervolume=_hypervolume(archive),
            winner=means[f"candidate {verified.winner}"],
            best_parent=means[verified.best_parent],
            uniform_mean=means.get("uniform mean"),
        )


@contextlib.contextmanager
def _archive(config: CampaignConfig, directory: RunDirectory) -> Iterator[Archive]:
    new = not directory.archive.exists()
    archive = Archive.create(directory.archive, dump_campaign(config)) if new else Archive.open(directory.archive)
    with contextlib.closing(archive):
        yield archive


def _hypervolume(archive: Archive) -> float:
    import moocore

    front = np.array([[o.value for o in point.estimate.objectives] for point in read_front(archive).points])
    return float(moocore.hypervolume(front, ref=np.zeros(front.shape[1]), maximise=True))


HEADER = ("search", "seeds", "hypervolume", "winner, test", "over random search", "over the best parent")


def _row(name: str, runs: Sequence[Run]) -> tuple[str, ...]:
    mine = [run for run in runs if run.search == name]
    by_chance = {run.seed: run.winner for run in runs if run.search == RANDOM}
    over = [run.winner - by_chance[run.seed] for run in mine if run.seed in by_chance]
    columns = [
        _interval([100 * run.hypervolume for run in mine]),
        _interval([100 * run.winner for run in mine]),
        _interval([100 * gain for gain in over], sign="+") if over and name != RANDOM else "",
        _interval([100 * (run.winner - run.best_parent) for run in mine], sign="+"),
    ]
    return (name, str(len(mine)), *columns)


def _interval(values: Sequence[float], sign: str = "") -> str:
    """Return the mean and the half-width of its 95 % interval by Student's t."""
    from scipy.stats import t as student

    n = len(values)
    mean = f"{float(np.mean(values)):{sign}.1f}"
    if n < 2:
        return mean
    return f"{mean} ± {float(student.ppf(0.975, n - 1) * np.std(values, ddof=1) / n**0.5):.1f}"


if __name__ == "__main__":
    guarded(main)
