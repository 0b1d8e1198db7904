"""`evomerge track` and `push`: a run, shown to others."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evomerge.cli.commands.results import RunDir
from evomerge.cli.commands.search import MovedParents, listed, moved_parents
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


def push(
    run_dir: RunDir,
    repo: Annotated[str, typer.Option(metavar="OWNER/NAME", help="On the hub.", show_default=False)],
    pick: Annotated[str, typer.Option(help="As of `evomerge export`.")] = "winner",
    directory: Annotated[
        Path | None, typer.Option("--from", help="A directory that `export` wrote, in place of a pick.")
    ] = None,
    parent: MovedParents = None,
    *,
    private: Annotated[bool, typer.Option("--private", help="A repository that is made is private.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Upload; without it only say what would be.")] = False,
) -> None:
    """Upload a candidate to the Hugging Face hub with its card; without --yes only say what would be sent."""
    import yaml

    from evomerge.api.run import load

    console = make_console()
    upload = load(run_dir).push(
        repo,
        pick,
        directory=directory,
        private=private,
        yes=yes,
        parents=moved_parents(parent),
        callbacks=print_note(console),
    )
    if yes:
        return
    sizes = upload.sizes
    console.print(f"would upload to {repo} ({'private' if private else 'public'}): {sum(sizes.values()):,} bytes")
    for name, size in sizes.items():
        console.print(f"  {size:>15,}  {name}", whole=True)
    console.print("the card's metadata:")
    for line in yaml.safe_dump(upload.metadata, sort_keys=False, allow_unicode=True).splitlines():
        console.print(f"  {line}", whole=True)
    console.print("nothing was sent; --yes uploads it")
