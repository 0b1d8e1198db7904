"""Run a campaign file to its end: search, verify, export the winner."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

import evomerge as em
from experiments.printing import steps, table


def search_verify_export(campaign: Path, run_dir: Path, console: Console) -> Path:
    """Search, verify and export, each only where it is not done yet; return the directory of the exported winner."""
    run = em.search.from_yaml(campaign, run_dir=run_dir, callbacks=[steps(console)])
    names, front = [objective.name for objective in run.config.objectives], run.front
    rows = [
        [
            point.candidate.label or str(point.candidate.number),
            *_scores(point.estimate.objectives, point.estimate.mean),
            ", ".join(front.all.picks.of(point.candidate.number)),
        ]
        for point in front
    ]
    console.print(table("Pareto front on search items", ["candidate", *names, "mean", "picks"], rows))
    found = run.verify(top=3, callbacks=[steps(console)])
    console.print(table("Held-out test items", *_held_out(names, found)))
    for winner in found.verification.winners:
        console.print("\n".join([winner.verdict, *(f"  - {fact}" for fact in winner.facts)]))
    out = run_dir / "exports" / f"candidate-{found.winner}"
    if not out.exists():
        console.print(f"candidate {found.winner} is in {run.export('winner', out)}")
    console.print(f"report: {run.report()}")
    return out


def _held_out(names: Sequence[str], found: em.VerificationReport) -> tuple[list[str], list[list[str]]]:
    rows = []
    for row in found.rows:
        picked, d = found.verification.winner_of(row.candidate), row.difference
        name = row.name if picked is None else f"{row.name} ({', '.join(picked.picks)})"
        over = "the best parent" if d is None else f"{d.value:+.3f} ({d.low:+.3f} to {d.high:+.3f})"
        rows.append([name, *_scores(row.objectives, row.mean), over])
    return ["model", *names, "mean", f"difference to {found.verification.best_parent} (95 % interval)"], rows


def _scores(objectives: Sequence[Any], mean: float) -> list[str]:
    return [*(f"{o.value:.3f} ± {o.stderr:.3f}" for o in objectives), f"{mean:.3f}"]
