"""`evomerge prefetch`: a campaign's parents, where its workers will be."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evomerge.cli.terminal import make_console, plain_table


def prefetch(
    campaign: Annotated[
        Path, typer.Argument(metavar="CAMPAIGN", help="A campaign file, or a run directory.", show_default=False)
    ],
    address: Annotated[
        str | None,
        typer.Option(help="A running Ray cluster, as auto or HOST:PORT: on all of its nodes.", show_default=False),
    ] = None,
) -> None:
    """Bring a campaign's parents to this machine or to all nodes of a cluster, and compare their files.

    Ends with 1 if a node cannot have them, or has others.
    """
    from evomerge.api.prefetching import prefetch as prefetched
    from evomerge.api.search import read_campaign

    console = make_console()
    found = prefetched(read_campaign(campaign), campaign if campaign.is_dir() else None, address)
    rows = [
        (name, str(len(files)), " + ".join(filter(None, found.inputs.commits.get(name, ()))) or "local")
        for name, files in found.inputs.parents.items()
    ]
    console.show(plain_table("Parents", ("parent", "files", "commit"), rows))
    if found.nodes:
        there = [(node, wrong or "the same files") for node, wrong in found.nodes.items()]
        console.show(plain_table("Nodes", ("node", "parents"), there))
    if any(found.nodes.values()):
        raise typer.Exit(1)
