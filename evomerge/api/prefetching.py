"""`evomerge prefetch`: the parents of a campaign on this machine, and on every node of a cluster, before a search."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from evomerge.api.inputs import reopened
from evomerge.archive import Archive
from evomerge.campaign import RunDirectory, RunDirectoryError
from evomerge.campaign.inputs import Inputs
from evomerge.campaign.places import Sources, places_of
from evomerge.config import CampaignConfig
from evomerge.errors import few_lines, require
from search_spaces.parents.parents import Parents


@dataclass(frozen=True)
class Prefetched:
    """What a campaign's parents are.

    Attributes:
        inputs: as they are here: their files' digests, and the hub's commits.
        nodes: a node's address -> what is wrong there, in words; empty where all parents are the same files.
    """

    inputs: Inputs
    nodes: Mapping[str, str]


def prefetch(config: CampaignConfig, run: Path | None = None, address: str | None = None) -> Prefetched:
    """Bring what is on the hub to this machine, and to every node at the commits found here; compare all files.

    Args:
        config: the campaign.
        run: its run directory, where it has begun.
        address: of a Ray cluster; None: this machine alone.

    Raises:
        RunDirectoryError: a parent is not what the search began with.
        SpaceError: a parent cannot be opened.
        WorkerSetupError: no cluster answers.
    """
    began: Inputs | None = None
    places: Sources = {}
    root = Path.cwd()
    if run is not None:
        directory = RunDirectory(run)
        config, places = reopened(config, directory, {})
        with contextlib.closing(Archive.read(directory.archive)) as archive:
            began, root = Inputs.noted(archive), directory.root
    here = inputs_of(config.sources, places)
    if changed := [] if began is None else list(began.changed_parents(here)):
        raise RunDirectoryError(
            f"{root}: expected the parents that this search began with, found others:\n"
            f"{few_lines([f'  {change}' for change in changed], 3)}"
        )
    if address is None:
        return Prefetched(here, {})
    require("ray", "ray")
    from evomerge.workers.every_node import on_every_node

    pinned = {**places, **places_of(config.sources, here, places, root)}
    found = on_every_node(address, partial(inputs_of, config.sources, pinned))
    return Prefetched(here, {node: _difference(here, there) for node, there in found.items()})


def inputs_of(sources: Sources, places: Sources) -> Inputs:
    """Open parents, which brings what is on the hub, and read what they are."""
    return Inputs.of(Parents.open(sources, places=places))


def _difference(here: Inputs, there: Inputs | str) -> str:
    return there if isinstance(there, str) else "; ".join(here.changed_parents(there))
