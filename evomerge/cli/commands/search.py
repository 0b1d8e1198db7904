"""`evomerge run` and `doctor`: the search that a campaign file describes."""

from __future__ import annotations

import contextlib
import shlex
from pathlib import Path
from typing import Annotated

import typer

from evomerge.cli.terminal import make_console, plain_table

CampaignFile = Annotated[Path, typer.Argument(metavar="CAMPAIGN.yaml", help="The campaign file.", show_default=False)]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Set a key of the file, as budget.hours=2; may be repeated."),
]
Optimiser = Annotated[
    str | None,
    typer.Option(
        "--optimiser", "--optimizer", metavar="KIND", help="Search with this optimiser, its options left out."
    ),
]
AllowDifferences = Annotated[
    list[str] | None,
    typer.Option(
        "--allow-differences",
        metavar="KEY",
        help="Let the models' config.json differ in this key, as rope_theta or model_type, or locked parents (locked); "
        "a,b or repeated.",
    ),
]


MovedParents = Annotated[
    list[str] | None,
    typer.Option(
        "--parent",
        metavar="NAME=DIR",
        help="Where a parent's directory lies now, if it moved: its files must be the same; may be repeated.",
    ),
]
Trust = Annotated[
    bool,
    typer.Option(
        "--trust-tasks", help="Run the code that a run names (Python tasks, lm-eval YAML), though others began it."
    ),
]


def moved_parents(texts: list[str] | None) -> dict[str, str]:
    """Return name -> directory of options like `words=/models/words`."""
    moved = {}
    for text in texts or ():
        name, equals, directory = text.partition("=")
        if not (name and equals and directory):
            raise typer.BadParameter(f"expected NAME=DIR, found {text!r}", param_hint="--parent")
        moved[name] = directory
    return moved


def listed(texts: list[str] | None) -> list[str]:
    """Return the parts of options like `a,b` that may be repeated."""
    return [part.strip() for text in texts or () for part in text.split(",") if part.strip()]


def with_differences(overrides: list[str] | None, allow_differences: list[str] | None) -> list[str]:
    """Return changes to a campaign file with what its models may differ in."""
    named = listed(allow_differences)
    return [*(overrides or ()), *([f"allow_differences=[{', '.join(named)}]"] if named else [])]


def run(  # noqa: PLR0913 -- each is an option
    campaign: Annotated[
        Path, typer.Argument(metavar="CAMPAIGN.yaml|RUN_DIR", help="A campaign file, or a run to go on with.")
    ],
    *,
    run_dir: Annotated[Path | None, typer.Option(help="Where to keep the run; default: runs/NAME.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Workers; more than one makes a Ray pool.")] = None,
    evaluations: Annotated[int | None, typer.Option(min=1, help="Candidates in all, landmarks included.")] = None,
    overrides: Set = None,
    optimiser: Optimiser = None,
    allow_differences: AllowDifferences = None,
    parent: MovedParents = None,
    trust_tasks: Trust = False,
) -> None:
    """Start a search, or resume the one in the run directory.

    Ctrl-C finishes and saves what is running; the same command goes on from there.
    """
    from evomerge.api.run import Run
    from evomerge.api.search import read_campaign
    from evomerge.api.sections import Given
    from evomerge.api.session import run_stages
    from evomerge.campaign.run_directory import RunDirectory
    from evomerge.cli.progress import SearchProgress
    from evomerge.cli.tables import front_table
    from evomerge.results.report.report_files import where

    console = make_console()
    overrides, moved = with_differences(overrides, allow_differences), moved_parents(parent)
    config = read_campaign(
        campaign,
        overrides,
        optimiser=optimiser,
        evaluations=evaluations,
        workers=workers,
        models_must_exist=not moved,
        trust_tasks=trust_tasks,
    )
    directory = run_dir or (campaign if campaign.is_dir() else Path("runs") / config.name)
    with contextlib.closing(SearchProgress(console)) as progress:
        run_stages(config, RunDirectory(directory), Given(), [progress.watch], moved)
    found = Run(directory)
    front = found.front.all
    for line in front.notes:
        console.print(line)
    if front.points:
        console.show(front_table(front, console.console.width))
    for line in front.picks.in_words:
        console.print(line)
    console.print(f"{where(found.report())}\nnext: evomerge verify {shlex.quote(str(directory))}", whole=True)


def doctor() -> None:
    """Show versions, devices, memory and disk, what is outside the tested range, and what this machine is good for."""
    from evomerge.api.doctor import doctor, verdict

    findings = doctor()
    rows = [(f.subject, f.status, f.found, f.advice) for f in findings]
    console = make_console()
    console.show(plain_table("evomerge doctor", ("what", "status", "found", "advice"), rows))
    console.print(verdict(findings))
    if any(f.status == "missing" for f in findings):
        raise typer.Exit(1)
