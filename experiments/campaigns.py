"""Run a campaign file to its end: search, verify, export the winner."""

from pathlib import Path

from rich.console import Console

from evomerge.commands import results, stages
from evomerge.config import load_campaign, resolved
from evomerge.run_directory import RunDirectory


def search_verify_export(campaign: Path, run_dir: Path, console: Console) -> Path:
    """Do what `evomerge run`, `verify` and `export --pick winner` do, each only where it is not done yet.

    Returns:
        The directory of the exported winner.
    """
    config = resolved(load_campaign(campaign), campaign.parent)
    directory = RunDirectory(run_dir)
    stages.run(config, directory, console)
    winner = results.verify(directory, console, top=3, as_json=False).winner
    out = directory.exports / f"candidate-{winner}"
    if not out.exists():
        results.export(directory, console, choice="winner", out=out)
    return out
