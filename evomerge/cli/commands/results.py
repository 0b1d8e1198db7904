"""`evomerge pareto`, `verify`, `export` and `report`: what came out of a search."""

from __future__ import annotations

import json
from pathlib import Path

from rich.console import Console

from evomerge.api.run import Run
from evomerge.campaign.constraints import Constraints
from evomerge.cli.terminal import front_table, print_note, verdict_lines, verification_table
from evomerge.results.front import pick
from evomerge.results.report.html import where


def pareto(run: Run, console: Console, *, as_json: bool) -> None:
    """Print the front."""
    if as_json:
        print(json.dumps(run.front.to_dict(), indent=2))
        return
    front = run.front.all
    console.print(f"{run.config.name}: {front.evaluations} evaluations, {front.failures} failures", highlight=False)
    for line in front.notes:
        console.print(line, highlight=False)
    if front.points:
        console.print(front_table(front))
    else:
        console.print("nothing is scored yet")


def verify(run: Run, console: Console, *, top: int, as_json: bool) -> None:
    """Score the best candidates, the parents and the baselines on held-out items, and print the table."""
    found = run.verify(top, callbacks=[] if as_json else [print_note(console)])
    page = run.report()
    if as_json:
        print(json.dumps(found.to_dict(), indent=2))
        return
    console.print(verification_table(found.verification))
    for line in (*verdict_lines(found.verification), *map(str, found.constraints)):
        console.print(line, highlight=False)
    console.print(where(page), highlight=False)


def export(run: Run, console: Console, *, choice: str, out: Path) -> None:
    """Write one candidate as an ordinary Hugging Face checkpoint, with a card that tells how it was found."""
    with run.archive() as archive:
        number = pick(archive, choice).number
        violation = Constraints.of(archive).violation_of(archive, number)
    console.print(f"candidate {number} is in {run.export(number, out)}", highlight=False)
    if violation:
        console.print(f"note: it misses constraints by {violation:.3f} on search items", highlight=False)


def report(run: Run, console: Console) -> None:
    """Write report.html and the figures, also while the search runs."""
    console.print(where(run.report()), highlight=False)
