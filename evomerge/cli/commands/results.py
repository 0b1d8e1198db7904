"""`evomerge pareto`, `verify`, `export` and `report`: what came out of a search."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast, get_args

import typer

from evomerge.cli.commands.search import MovedParents, Trust, moved_parents
from evomerge.cli.terminal import Terminal, beside_us, make_console, print_note
from evomerge.whole_file import prepared_file

if TYPE_CHECKING:
    from evomerge.api.run import Run

RunDir = Annotated[Path, typer.Argument(help="The directory of a run.", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def pareto(
    run_dir: RunDir,
    out: Annotated[Path | None, typer.Option(help="A file for what --json prints.", show_default=False)] = None,
    as_json: AsJson = False,
) -> None:
    """Show the Pareto front on search items: candidates, objectives with standard errors; under it the parents.

    The knee is the front point farthest from the line (plane) through the extreme points, each objective scaled to
    [0, 1] over the front. After `verify` the picks are those of the verification.
    """
    from evomerge.api.run import load

    write = None if out is None else prepared_file(out)
    run, console = load(run_dir), make_console()
    document = json.dumps(run.front.to_dict(), indent=2) if as_json or write is not None else ""
    if as_json:
        print(document)
    else:
        _print_front(run, console)
        winner = "winner" in run.front.picks.chosen
        then = (
            f"export {shlex.quote(str(run_dir))} --pick winner --out DIR"
            if winner
            else f"verify {shlex.quote(str(run_dir))}"
        )
        console.print(f"next: evomerge {then}", whole=True)
    if write is not None:
        write(document + "\n")


def _print_front(run: Run, console: Terminal) -> None:
    from evomerge.cli.tables import front_table

    front, screen = run.front.all, run.front.screen
    console.print(f"{run.name}: {front.evaluations} evaluations, {front.failures} failures")
    for line in front.notes:
        console.print(line)
    if front.points:
        console.show(front_table(front, console.console.width))
        for line in front.picks.in_words:
            console.print(line)
    else:
        console.print("nothing is scored yet")
    if screen is not None:
        console.print(screen.in_words)


def export(
    run_dir: RunDir,
    out: Annotated[Path, typer.Option(help="The directory to write; must not exist.", show_default=False)],
    pick: Annotated[
        str,
        typer.Option(
            help="knee: the front point farthest from the line (plane) through the extreme points; best: highest mean;"
            " best:OBJECTIVE; winner: the best of `verify`; or a candidate's NUMBER. After `verify` its picks, which"
            " validation items chose; before, those of search items."
        ),
    ] = "knee",
    parent: MovedParents = None,
    *,
    gguf: Annotated[
        str | None, typer.Option(metavar="TYPE", help="Also for llama.cpp, by its converter: q8_0, f16, bf16 or f32.")
    ] = None,
    llama_cpp: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where convert_hf_to_gguf.py lies, if not on PATH.")
    ] = None,
) -> None:
    """Write a candidate as an ordinary Hugging Face checkpoint with a model card."""
    from evomerge.publishing.gguf import GgufType, converter, to_gguf

    if gguf is not None and gguf not in get_args(GgufType):
        raise typer.BadParameter(f"expected one of {', '.join(get_args(GgufType))}", param_hint="--gguf")
    script = None if gguf is None else converter(llama_cpp)  # before anything is computed
    from evomerge.api.run import load
    from evomerge.campaign.constraints import Constraints
    from evomerge.campaign.origin import NOTE, is_ours
    from evomerge.results.picks import pick as picked

    run, console = load(run_dir), make_console()
    with run.archive() as archive:
        if is_ours(archive.noted(NOTE)):  # recipes may name operators beside the campaign
            beside_us()
        number = picked(archive, pick).number
        violation = Constraints.of(archive).violation_of(archive, number)
    exported = run.export(number, out, parents=moved_parents(parent), callbacks=print_note(console))
    console.print(f"candidate {number} is in {exported}", whole=True)
    if script is not None:
        console.print(f"for llama.cpp: {to_gguf(exported, cast(GgufType, gguf), script)}", whole=True)
    if violation:
        console.print(f"note: it misses constraints by {violation:.3f} on search items")


def verify(
    run_dir: RunDir,
    top: Annotated[int, typer.Option(min=1, help="How many candidates validation items choose from.")] = 5,
    final: Annotated[
        bool,
        typer.Option(
            "--final",
            help="Open the final items (splits: {final: ...}) as well, once, for the winner of the last verification.",
        ),
    ] = False,
    as_json: AsJson = False,
    parent: MovedParents = None,
    *,
    trust_tasks: Trust = False,
) -> None:
    """Score the best candidates, every parent and the baselines on held-out items.

    Validation items choose one winner per pick (best, knee, best:OBJECTIVE); paired differences on test items tell
    whether each is better than every parent and every recipe that costs no search, better than every parent, a true
    trade-off, or not shown to be better. Every candidate that is tested makes later claims on these items stricter.
    """
    from evomerge.api.run import load
    from evomerge.cli.tables import verdict_lines, verification_table
    from evomerge.results.report.report_files import where

    run, console = load(run_dir), make_console()
    said = [] if as_json else [print_note(console)]
    found = run.verify(top, final=final, parents=moved_parents(parent), callbacks=said, trust_tasks=trust_tasks)
    page = run.report()
    if as_json:
        print(json.dumps(found.to_dict(), indent=2))
        return
    width = console.console.width
    console.show(verification_table(found.verification, width))
    dropped = (f"{one.pick} is not offered: {one.why}" for one in found.verification.dropped)
    for line in (*verdict_lines(found.verification), *dropped, *map(str, found.constraints)):
        console.print(line)
    if found.final is not None:
        if found.final.found is not None:
            console.show(verification_table(found.final.found, width))
        for line in found.final.lines:
            console.print(line)
    console.print(where(page), whole=True)


def report(
    run_dir: RunDir,
    out: Annotated[
        Path | None,
        typer.Option(help="The page; default: report.html in the run directory, which must be writable then."),
    ] = None,
) -> None:
    """Write report.html, one self-contained page, and its figures as PNG; also while the search runs."""
    from evomerge.api.run import load
    from evomerge.results.report.report_files import where

    make_console().print(where(load(run_dir).report(out)), whole=True)
