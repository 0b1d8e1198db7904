"""`evomerge pareto`, `verify`, `export` and `report`: what came out of a search."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console

from evomerge.archive import Archive
from evomerge.campaign.constraints import Constraints
from evomerge.front import front_as_json, pick, read_front
from evomerge.model_card import model_card
from evomerge.report.html import report as write_report
from evomerge.report.html import where
from evomerge.run_directory import RunDirectory, recorded_config
from evomerge.terminal import front_table, verdict_lines, verification_table
from evomerge.verification.held_out_constraints import HeldOutBound, held_out_constraints
from evomerge.verification.result import Verification
from evomerge.verification.verifier import Verifier


@contextlib.contextmanager
def _reading(directory: RunDirectory) -> Iterator[Archive]:
    with contextlib.closing(Archive.read(directory.archive)) as archive:
        yield archive


def pareto(directory: RunDirectory, console: Console, *, as_json: bool) -> None:
    """Print the front."""
    with _reading(directory) as archive:
        name = recorded_config(archive).name
        if as_json:
            print(json.dumps(front_as_json(archive, name), indent=2))
            return
        found = read_front(archive)
        console.print(f"{name}: {found.evaluations} evaluations, {found.failures} failures", highlight=False)
        for line in found.notes:
            console.print(line, highlight=False)
        if found.points:
            console.print(front_table(found))
        else:
            console.print("nothing is scored yet")


def verify(directory: RunDirectory, console: Console, *, top: int, as_json: bool) -> Verification:
    """Score the best candidates, the parents and the baselines on held-out items, and print the table."""
    from evomerge.assembly import build_parts, build_pool  # loads torch, which the other commands do without

    with directory.locked(), contextlib.closing(Archive.open(directory.archive)) as archive:
        config = recorded_config(archive)
        parts = build_parts(config)
        pool = build_pool(parts, directory.root)
        try:
            verifier = Verifier(
                archive,
                pool,
                parts.estimator,
                parts.comparison,
                margin=config.verification.margin,
                n_masks=config.verification.masks,
            )
            watch = None if as_json else lambda line: console.print(line, highlight=False)
            found = verifier.verify(top, validation=config.splits.validation > 0, watch=watch)
        finally:
            pool.close()
        bounds = held_out_constraints(
            archive,
            found.winner,
            parts.estimator,
            objectives=parts.objectives,
            task_of=parts.fitness.task_of,
        )
        write_report(archive, directory.report, png_dir=directory.figures)
    if as_json:
        print(json.dumps(_verification_as_json(found, bounds), indent=2))
    else:
        console.print(verification_table(found))
        for line in verdict_lines(found):
            console.print(line, highlight=False)
        for bound in bounds:
            console.print(str(bound), highlight=False)
        console.print(where(directory.report), highlight=False)
    return found


def export(directory: RunDirectory, console: Console, *, choice: str, out: Path) -> Path:
    """Write one candidate as an ordinary Hugging Face checkpoint, with a card that tells how it was found."""
    from search_spaces.errors import SpaceError
    from search_spaces.mergekit_yaml import to_mergekit
    from search_spaces.weights.export import export as write_checkpoint
    from search_spaces.weights.parents import Parents

    with _reading(directory) as archive:
        candidate = pick(archive, choice)
        violation = Constraints.of(archive).violation_of(archive, candidate.number)
        noted = archive.noted("verification")
        verification = None if noted is None else Verification.from_json(noted)
        try:
            mergekit = to_mergekit(candidate.recipe)
        except SpaceError:  # not every recipe can be said in mergekit's language
            mergekit = None
        card = model_card(archive, candidate, verification, mergekit_yaml=mergekit)
    extra = {} if mergekit is None else {"mergekit_config.yml": mergekit}
    parents = Parents.of(candidate.recipe)
    path = write_checkpoint(candidate.recipe, parents, out, model_card=card, extra_files=extra)
    console.print(f"candidate {candidate.number} is in {path}", highlight=False)
    if violation:
        console.print(f"note: it misses constraints by {violation:.3f} on search items", highlight=False)
    return path


def report(directory: RunDirectory, console: Console) -> None:
    """Write report.html and the figures, also while the search runs."""
    with _reading(directory) as archive:
        write_report(archive, directory.report, png_dir=directory.figures)
    console.print(where(directory.report), highlight=False)


def _verification_as_json(verification: Verification, bounds: Sequence[HeldOutBound]) -> dict[str, Any]:
    return {
        "rows": [
            {
                "name": row.name,
                "candidate": row.candidate,
                "kind": row.kind,
                "objectives": {
                    o.name: {"value": o.value, "stderr": o.stderr, "split": "test", "items": o.n_items, "kind": o.kind}
                    for o in row.objectives
                },
                "mean": row.mean,
                "difference_to_best_parent": None
                if row.difference is None
                else {"value": row.difference.value, "low": row.difference.low, "high": row.difference.high},
            }
            for row in verification.rows
        ],
        "best_parent": verification.best_parent,
        "chosen_on": verification.chosen_on,
        "winner": verification.winner,
        "wins": verification.wins,
        "standing": verification.standing,
        "verdict": verification.verdict,
        "margin": verification.margin,
        "winners": [asdict(winner) for winner in verification.winners],
        "constraints": [{**asdict(bound), "holds": bound.holds} for bound in bounds],
    }
