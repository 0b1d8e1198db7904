"""`evomerge archive copy` and `check`: the one file that everything is in."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evomerge.cli.commands.results import RunDir
from evomerge.cli.terminal import make_console

app = typer.Typer(name="archive", help="Copy or check the archive of a run.", no_args_is_help=True)


@app.command()
def copy(
    run_dir: RunDir,
    out: Annotated[Path, typer.Argument(help="The directory to write; it must have no archive yet.")],
) -> None:
    """Copy the archive of a run into a directory, whole, also while the search runs.

    The copy is a run directory that can be looked at.
    """
    from evomerge.api.run import load

    path = load(run_dir).copy_archive(out)
    make_console().print(f"archive: {path}", whole=True)


@app.command()
def check(run_dir: RunDir) -> None:
    """Look at every row of the archive of a run; exit 1 where one is not what was committed."""
    from evomerge.api.run import load

    run, console = load(run_dir), make_console()
    damage = run.damage
    for one in damage:
        console.print(str(one))
    if damage:
        raise typer.Exit(1)
    console.print(f"whole: {run.n_candidates} candidates")
