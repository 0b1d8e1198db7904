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
from evomerge.assembly import Parts, build_parts, build_pool
from evomerge.assembly.live_models import with_compute_dtype
from evomerge.assembly.optimiser import build_optimiser, check_optimiser
from evomerge.campaign.campaign import Campaign, SearchInterruptedError
from evomerge.campaign.constraints import Constraints
from evomerge.campaign.progress import Limits
from evomerge.campaign.warm_start import warm_start
from evomerge.config import CampaignConfig, dump_campaign
from evomerge.config.changes import as_diff, past_changing
from evomerge.doctor import versions
from evomerge.front import read_front
from evomerge.report.html import report, where
from evomerge.report.items_used import note_search_items
from evomerge.run_directory import RunDirectory, RunDirectoryError, recorded_config
from evomerge.terminal import SearchProgress, duration, front_table
from evomerge.verification.benchmark_test_sets import note_used

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
            note_used(archive, parts.test_sets)
            note_search_items(archive, len(parts.fitness.splits.items["search"]))
            _check_reduced(parts, archive)
            _show_warnings(parts, console)
            _search(parts, archive, directory, console)
            found = read_front(archive)
            for line in found.notes:
                console.print(line, highlight=False)
            if found.points:
                console.print(front_table(found))
            report(archive, directory.report, png_dir=directory.figures)
            console.print(f"{where(directory.report)}\nnext: evomerge verify {directory.root}", highlight=False)


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
    if changes and archive.n_candidates:
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
    started = warm_start(config.optimiser.warm_start, space, config.sources, archive)
    for line in started.notes:
        console.print(line, highlight=False)
    optimiser = build_optimiser(config, space, started.genomes)
    n_genes = len(space.gene_names())
    console.print(
        f"{len(parts.parents.checkpoints)} models, {f'{n_genes} genes, ' if n_genes else ''}"
        f"{_search_items(parts)}, {config.budget.evaluations} candidates",
        highlight=False,
    )
    _LOG.info("evomerge %s: %s, %d candidates so far", evomerge.__version__, config.name, archive.n_candidates)
    constraints = Constraints([o.bound for o in config.objectives if o.bound is not None])
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
                schedule=parts.schedule(archive, constraints),
                landmarks=started.landmarks,
                constraints=constraints,
                callbacks=[progress.watch],
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
    busy = campaign.progress.utilisation.share
    used = "" if busy is None else f", workers {busy:.0%} busy"
    console.print(f"searched for {duration(time.monotonic() - began)}{used}{reason[ending]}", highlight=False)


def _search_items(parts: Parts) -> str:
    n_all, chosen = len(parts.fitness.splits.items["search"]), parts.search_budget.items
    some = chosen is not None and len(chosen) < n_all
    return f"{len(chosen or ())} of {n_all} search items" if some else f"{n_all} search items"


def _check_reduced(parts: Parts, archive: Archive) -> None:
    """Record which reduced benchmark scores here rest on, or find it unchanged."""
    digest = "" if parts.reduced is None else parts.reduced.digest
    noted = archive.noted("reduced")
    if noted is None:
        archive.note("reduced", digest)
    elif noted != digest:
        file = parts.config.reduced and parts.config.reduced.file
        raise RunDirectoryError(
            f"reduced: expected the file {file} as it was when this search began, found another: put it back, or "
            "start a new search with --run-dir"
        )


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
