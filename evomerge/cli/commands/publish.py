"""`evomerge track` and `push`: a run, shown to others."""

from __future__ import annotations

from typing import Annotated

import typer

from evomerge.cli.commands.results import RunDir
from evomerge.cli.commands.search import listed
from evomerge.cli.terminal import make_console, print_note


def track(
    run_dir: RunDir,
    to: Annotated[list[str], typer.Option(help="wandb, mlflow, tensorboard or trackio; a,b.", show_default=False)],
) -> None:
    """Send a run to experiment trackers: every candidate that they do not have yet, and the front."""
    from evomerge.api.run import load

    console = make_console()
    for name, place in load(run_dir).track(listed(to), callbacks=print_note(console)).items():
        console.print(f"{name}: {place}", whole=True)
