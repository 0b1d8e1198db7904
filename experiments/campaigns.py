"""Run a campaign file to its end: search, verify, export the winner."""

from pathlib import Path

import evomerge as em
from evomerge.cli.commands import results, search


def search_verify_export(campaign: Path, run_dir: Path) -> Path:
    """Do what `evomerge run`, `verify` and `export --pick winner` do, each only where it is not done yet.

    Returns:
        The directory of the exported winner.
    """
    search.run(campaign, run_dir=run_dir)
    results.verify(run_dir, top=3)
    run = em.load(run_dir)
    assert run.verification is not None
    out = run_dir / "exports" / f"candidate-{run.verification.winner}"
    if not out.exists():
        results.export(run_dir, out, pick="winner")
    return out
