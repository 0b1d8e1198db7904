"""`evomerge run`: start a search, or go on with one."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from evomerge.api.given import Given
from evomerge.api.run import Run
from evomerge.api.stages import run_stages
from evomerge.campaign.run_directory import RunDirectory
from evomerge.cli.terminal import SearchProgress, front_table
from evomerge.config import CampaignConfig
from evomerge.results.report.html import where


def run(config: CampaignConfig, directory: Path, console: Console) -> None:
    """Search until the budget is spent, then print the front and write the report."""
    with SearchProgress(console) as progress:
        run_stages(config, RunDirectory(directory), Given(), [progress.watch])
    found = Run(directory)
    front = found.front.all
    for line in front.notes:
        console.print(line, highlight=False)
    if front.points:
        console.print(front_table(front))
    console.print(f"{where(found.report())}\nnext: evomerge verify {directory}", highlight=False)
