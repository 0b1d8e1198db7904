"""`evomerge pareto`, `verify`, `export` and `report`: what came out of a search."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from evomerge.cli.commands.search import MovedParents, moved_parents
from evomerge.cli.terminal import make_console, print_note

RunDir = Annotated[Path, typer.Argument(help="The directory of a run.", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def pareto(run_dir: RunDir, as_json: AsJson = False) -> None:
    """Show the Pareto front on search items: candidates, objectives with standard errors, recipes.

    The knee is the front point farthest from the line (plane) through the extreme points, each objective scaled to
    [0, 1] over the front.
    """
    from evomerge.api.run import load
    from evomerge.cli.tables import front_table

    run, console = load(run_dir), make_console()
    if as_json:
        print(json.dumps(run.front.to_dict(), indent=2))
        return
    front = run.front.all
    console.print(f"{run.config.name}: {front.evaluations} evaluations, {front.failures} failures")
    for line in front.notes:
        console.print(line)
    if front.points:
        console.show(front_table(front))
    else:
        console.print("nothing is scored yet")


def export(
    run_dir: RunDir,
    out: Annotated[Path, typer.Option(help="The directory to write; must not exist.", show_default=False)],
    pick: Annotated[
        str,
        typer.Option(
            help="knee: the front point farthest from the line (plane) through the extreme points; best: highest mean;"
            " best:OBJECTIVE; winner: what `verify` picked; or a candidate's NUMBER."
        ),
    ] = "knee",
    parent: MovedParents = None,
) -> None:
    """Write a candidate as an ordinary Hugging Face checkpoint with a model card."""
    from evomerge.api.run import load
    from evomerge.campaign.constraints import Constraints
    from evomerge.results.front import pick as picked

    run, console = load(run_dir), make_console()
    with run.archive() as archive:
        number = picked(archive, pick).number
        violation = Constraints.of(archive).violation_of(archive, number)
    exported = run.export(number, out, parents=moved_parents(parent), callbacks=print_note(console))
    console.print(f"candidate {number} is in {exported}", whole=True)
    if violation:
        console.print(f"note: it misses constraints by {violation:.3f} on search items")


def verify(
    run_dir: RunDir,
    top: Annotated[int, typer.Option(min=1, help="How many candidates validation items choose from.")] = 5,
    as_json: AsJson = False,
    parent: MovedParents = None,
) -> None:
    """Score the best candidates, every parent and the baselines on held-out items.

    Validation items choose one winner per pick (best, knee, best:OBJECTIVE); paired differences on test items tell
    whether each is better than every parent, a true trade-off, or not shown to be better.
    """
    from evomerge.api.run import load
    from evomerge.cli.tables import verdict_lines, verification_table
    from evomerge.results.report.html import where

    run, console = load(run_dir), make_console()
    said = [] if as_json else [print_note(console)]
    found = run.verify(top, parents=moved_parents(parent), callbacks=said)
    page = run.report()
    if as_json:
        print(json.dumps(found.to_dict(), indent=2))
        return
    console.show(verification_table(found.verification))
    for line in (*verdict_lines(found.verification), *map(str, found.constraints)):
        console.print(line)
    console.print(where(page), whole=True)


def report(run_dir: RunDir) -> None:
    """Write report.html, one self-contained page, and its figures as PNG; also while the search runs."""
    from evomerge.api.run import load
    from evomerge.results.report.html import where

    make_console().print(where(load(run_dir).report()), whole=True)
