"""`evomerge run`: start a search, or go on with one."""

from __future__ import annotations

import contextlib
import json
import logging
import signal
import time
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

import evomerge
from evomerge.archive import Archive
from evomerge.build import Parts, build_parts, build_pool
from evomerge.build_optimiser import build_optimiser, check_optimiser
from evomerge.campaign import Campaign, SearchInterruptedError
from evomerge.config import CampaignConfig, dump_campaign
from evomerge.config_changes import as_diff, past_changing
from evomerge.doctor import versions
from evomerge.front import read_front
from evomerge.live_models import with_compute_dtype
from evomerge.progress import Limits
from evomerge.report.html import report
from evomerge.run_directory import RunDirectory, RunDirectoryError, recorded_config
from evomerge.terminal import SearchProgress, duration, front_table

_LOG = logging.getLogger(__name__)


def run(config: CampaignConfig, directory: RunDirectory, console: Console) -> None:
    """Search until the budget is spent, then print the front and write the report.

    Args:
        config: resolved.
        directory: new, or of an earlier session of the same campaign.
        console: where to print.

    Raises:
        SearchInterruptedError: SIGINT or SIGTERM; what was running was finished and saved.
        Exception: every error of the rooms below, with everything told before it saved.
    """
    check_optimiser(config)  # a wrong option of the library shows before anything is loaded
    with directory.locked():
        config = _settled(config, directory)
        archive = _open_or_create(config, directory, console)
        with contextlib.closing(archive):
            directory.campaign.write_text(dump_campaign(config))
            console.print(f"[bold]{config.name}[/bold]: reading parents and tasks")
            parts = build_parts(config)
            _show_warnings(parts, console)
            _search(parts, archive, directory, console)
            found = read_front(archive)
            if found.points:
                console.print(front_table(found))
            report(archive, directory.report, png_dir=directory.figures)
            console.print(f"report: {directory.report}\nnext: evomerge verify {directory.root}", highlight=False)


def _settled(config: CampaignConfig, directory: RunDirectory) -> CampaignConfig:
    """Return the config with the dtype that the campaign began with: later candidates are scored as earlier ones."""
    if config.engine.dtype != "auto" or not directory.archive.exists():
        return with_compute_dtype(config)
    with contextlib.closing(Archive.open(directory.archive)) as archive:
        engine = config.engine.model_copy(update={"dtype": recorded_config(archive).engine.dtype})
    return config.model_copy(update={"engine": engine})


def _open_or_create(config: CampaignConfig, directory: RunDirectory, console: Console) -> Archive:
    text = dump_campaign(config)
    if not directory.archive.exists():
        archive = Archive.create(directory.archive, text)
        archive.note("versions", json.dumps(versions()))
        return archive
    archive = Archive.open(directory.archive)
    changes = past_changing(recorded_config(archive), config)
    if changes:
        archive.close()
        raise RunDirectoryError(
            f"{directory.root}: expected the campaign that began here, found a file that would change its past:\n"
            f"{as_diff(changes)}\nundo these changes, or start a new search with --run-dir"
        )
    if archive.campaign != text:
        archive.note("campaign", text)
    console.print(f"resuming {directory.root}: {archive.n_candidates} candidates so far", highlight=False)
    return archive


def _show_warnings(parts: Parts, console: Console) -> None:
    found = parts.preflight()
    found.raise_for_errors()
    for row in found.warnings:
        console.print(f"[yellow]note[/yellow] {row.property}: {row.note}", highlight=False)


def _search(parts: Parts, archive: Archive, directory: RunDirectory, console: Console) -> None:
    config, space = parts.config, parts.space
    optimiser = build_optimiser(config, space)
    console.print(
        f"{len(parts.parents.checkpoints)} models, {len(space.gene_names())} genes, "
        f"{len(parts.fitness.splits.items['search'])} search items, {config.budget.evaluations} candidates",
        highlight=False,
    )
    _LOG.info("evomerge %s: %s, %d candidates so far", evomerge.__version__, config.name, archive.n_candidates)
    pool = build_pool(parts, directory.root)
    began = time.monotonic()
    try:
        with SearchProgress(console) as progress:
            campaign: Campaign[NDArray[np.float64]] = Campaign(
                archive,
                space,
                optimiser,
                estimator=parts.estimator,
                pool=pool,
                limits=Limits(config.budget.evaluations, config.budget.hours),
                watch=progress.watch,
            )
            with _draining(campaign, console):
                ending = campaign.run()
    finally:
        pool.close()
    _LOG.info("ended: %s, %d candidates", ending, archive.n_candidates)
    if ending == "interrupted":
        raise SearchInterruptedError(
            f"stopped; everything is saved. To go on: run the same command again ({directory.root})"
        )
    reason = {"evaluations": "", "hours": ": the hours are spent", "exhausted": ": the optimiser has nothing to add"}
    console.print(f"searched for {duration(time.monotonic() - began)}{reason[ending]}", highlight=False)


@contextlib.contextmanager
def _draining(campaign: Campaign[NDArray[np.float64]], console: Console) -> Iterator[None]:
    """Make the first SIGINT or SIGTERM finish what is running; the second ends the process at once."""

    def handle(number: int, _: object) -> None:
        campaign.drain()
        signal.signal(number, previous[signal.Signals(number)])
        console.print("stopping: waiting for the candidates that are running (again to stop at once)")

    previous = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
