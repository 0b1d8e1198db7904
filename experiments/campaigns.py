"""Run a campaign file to its end: search, verify, export the winner."""

from pathlib import Path

from rich.console import Console

import evomerge as em
from evomerge.api.search import read_campaign
from evomerge.cli.commands import results, search


def search_verify_export(campaign: Path, run_dir: Path, console: Console) -> Path:
    """Do what `evomerge run`, `verify` and `export --pick winner` do, each only where it is not done yet.

    Returns:
        The directory of the exported winner.
    """
    search.run(read_campaign(campaign), run_dir, console)
    run = em.load(run_dir)
    results.verify(run, console, top=3, as_json=False)
    assert run.verification is not None
    out = run_dir / "exports" / f"candidate-{run.verification.winner}"
    if not out.exists():
        results.export(run, console, choice="winner", out=out)
    return out
