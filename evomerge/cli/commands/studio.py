"""`evomerge studio`: runs in a browser, live."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evomerge.cli.terminal import make_console


def studio(
    context: typer.Context,
    runs: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[RUN]...", help="Directories of runs, or directories with runs in them; default: runs, or here."
        ),
    ] = None,
    host: Annotated[
        str, typer.Option(help="Where to listen. Anything but this machine itself asks everybody for a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free.")] = 8642,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(help="Another name that browsers know this machine by, such as a proxy's; may be repeated."),
    ] = None,
    *,
    control: Annotated[
        bool,
        typer.Option(
            "--control",
            help="Let pages write campaigns below the one RUN directory named (default: here) and start commands.",
        ),
    ] = False,
    open_browser: Annotated[bool, typer.Option("--open/--no-open", help="Open it in a browser.")] = False,
) -> None:
    """Show runs in a browser: front, candidates, comparisons, progress and verdict; live while a search runs.

    Archives are only read. Notes and stars that you give candidates are kept in `notes.json` of the run directory.
    Ctrl-C ends it; commands that pages started go on.
    """
    from evomerge.studio.serving import Place, listen

    default = [Path("runs") if Path("runs").is_dir() and not control else Path()]
    group = context.parent.command if control and context.parent is not None else None
    commands = frozenset(getattr(group, "commands", ()))
    listening = listen(runs or default, Place(host, port, tuple(allow_host or ()), commands=commands))
    make_console().print(f"studio: {listening.address} (Ctrl-C ends it)", whole=True)
    if open_browser:
        import webbrowser

        webbrowser.open(listening.address)
    listening.run()
