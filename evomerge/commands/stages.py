"""Campaigns of several stages: each a run of its own, and its winner a parent of the next."""

from __future__ import annotations

import contextlib
from pathlib import Path

from rich.console import Console

from evomerge.archive import Archive
from evomerge.commands import results, search, setup
from evomerge.config import CampaignConfig
from evomerge.config.stages import stage_config, stand_ins
from evomerge.front import pick
from evomerge.run_directory import RunDirectory

WINNER = "winner"


def run(config: CampaignConfig, directory: RunDirectory, console: Console) -> None:
    """Search stage after stage; a campaign without stages is one search.

    The last stage is the run itself, so that `pareto`, `verify` and `export` of the run directory speak of it. The
    others lie in `stages/`. A stage is over once its winner is exported: what the file says of it later is not looked
    at again.

    Args:
        config: resolved.
        directory: new, or of an earlier session of the same campaign.
        console: where to print.

    Raises:
        Exception: see `evomerge.commands.search.run`.
    """
    if not config.stages:
        search.run(config, directory, console)
        return
    winners: dict[str, str] = {}
    for index, stage in enumerate(config.stages[:-1]):
        own = RunDirectory(directory.root / "stages" / f"{index + 1}-{stage.name}")
        winner = (own.exports / WINNER).absolute()
        console.print(f"[bold]stage {index + 1} of {len(config.stages)}[/bold]: {stage.name}", highlight=False)
        if not winner.exists():
            search.run(stage_config(config, index, winners), own, console)
            _export_winner(own, stage.pick, winner, console)
        winners[stage.name] = str(winner)
    console.print(f"[bold]last stage[/bold]: {config.stages[-1].name}", highlight=False)
    search.run(stage_config(config, len(config.stages) - 1, winners), directory, console)


def plan(config: CampaignConfig, console: Console) -> None:
    """Print what every stage will do and cost; the first parent stands in for winners that do not exist yet."""
    for index, stage in enumerate(config.stages):
        console.print(f"[bold]stage {index + 1} of {len(config.stages)}[/bold]: {stage.name}", highlight=False)
        setup.plan(stage_config(config, index, stand_ins(config, index)), console)
    if not config.stages:
        setup.plan(config, console)


def _export_winner(own: RunDirectory, choice: str, winner: Path, console: Console) -> None:
    with contextlib.closing(Archive.read(own.archive)) as archive:
        number = pick(archive, choice).number
    results.export(own, console, choice=str(number), out=winner)
