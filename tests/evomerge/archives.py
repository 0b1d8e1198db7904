"""Archives of small synthetic campaigns, made on the spot: what reports and cards are tested with."""

from __future__ import annotations

import contextlib
import itertools
import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from evomerge.archive import Archive
from evomerge.candidate import Candidate, Done, Failure, Scored
from evomerge.results.verification.result import Comparison, FreshMasks, Row, Standing, Verification, Winner
from fitness.scores import Estimate, ItemScores, ObjectiveEstimate, Split
from fitness.statistics import Difference, Flips
from search_spaces.recipes.recipe import ParentSource, Recipe
from search_spaces.recipes.rule import Input, Rule, Where

CAMPAIGN = """name: arithmetic and words
base: org/base
parents: [org/arithmetic, org/words]
optimiser: {kind: nsga2, population: 24}
seed: 7
"""
PARENTS = {
    "base": ParentSource("org/base"),
    "arithmetic": ParentSource("org/arithmetic", "abc123"),
    "words": ParentSource("/models/words"),
    "dates": ParentSource("org/dates"),
}
EXPERTS = ("arithmetic", "words", "dates")
N_ITEMS = 120


def alone(parent: str) -> Recipe:
    return Recipe(PARENTS, "base", (Rule("linear", (Input(parent, {"weight": 1.0}),)),))


def everywhere(operator: str, weight: float) -> Recipe:
    inputs = tuple(Input(parent, {"weight": weight}) for parent in EXPERTS)
    return Recipe(PARENTS, "base", (Rule(operator, inputs),))


def merged(rng: np.random.Generator, n_layers: int = 30, n_blocks: int = 5) -> Recipe:
    def rule(where: Where) -> Rule:
        parameters = [
            {"weight": round(float(rng.uniform(0, 1.5)), 4), "density": int(rng.integers(51, 257)) / 256}
            for _ in EXPERTS
        ]
        inputs = tuple(Input(name, p) for name, p in zip(EXPERTS, parameters, strict=True))
        return Rule("ties", inputs, {"lambda": 1.0, "normalize": True}, where)

    edges = [i * n_layers // n_blocks for i in range(n_blocks + 1)]
    spans = list(itertools.pairwise(edges))
    rules = [rule(Where(span, module)) for module in ("attention", "mlp") for span in spans]
    return Recipe(PARENTS, "base", (*rules, rule(Where(None, "other"))))


def landmarks() -> list[Candidate]:
    named = [(name, alone(name)) for name in EXPERTS]
    named += [("uniform mean", everywhere("linear", 1 / 3)), ("default TIES", everywhere("ties", 1.0))]
    return [Candidate(i, recipe, name) for i, (name, recipe) in enumerate(named)]


def scored(
    rng: np.random.Generator, candidate: Candidate, accuracies: Sequence[float], split: Split = "search"
) -> tuple[Scored, Estimate]:
    """Draw item scores of an accuracy per objective; each objective has two tasks."""
    ids, values, objectives = [], [], []
    for name, accuracy in zip(EXPERTS, accuracies, strict=False):
        found = (rng.random(N_ITEMS) < accuracy).astype(float)
        ids += [f"{name}_{'easy' if i % 2 else 'hard'}/{i}" for i in range(N_ITEMS)]
        values.append(found)
        stderr = float(found.std(ddof=1) / np.sqrt(N_ITEMS))
        objectives.append(ObjectiveEstimate(name, float(found.mean()), stderr, N_ITEMS))
    scores = ItemScores(tuple(ids), np.concatenate(values))
    return Scored(candidate, scores, 2.5), Estimate(split, tuple(objectives))


def failure(candidate: Candidate, reason: str = "RuntimeError: out of memory") -> tuple[Failure, None]:
    traceback = f'Traceback (most recent call last):\n  File "worker.py", line 3\n{reason}'
    return Failure(candidate, "evaluate", reason, attempts=2, traceback=traceback), None


def make_archive(
    path: Path, *, objectives: int = 2, proposals: int = 60, failures: Sequence[int] = (), campaign: str = CAMPAIGN
) -> Archive:
    """Make an archive of landmarks and proposals that improve; `failures` are proposals that fail."""
    rng = np.random.default_rng(0)
    archive = Archive.create(path, campaign)
    first = landmarks()
    archive.asked(first, None)
    strong = [[0.72, 0.3, 0.35], [0.28, 0.66, 0.33], [0.3, 0.36, 0.7], [0.5, 0.47, 0.45], [0.55, 0.5, 0.47]]
    for candidate, accuracies in zip(first, strong, strict=True):
        archive.told([scored(rng, candidate, accuracies[:objectives])])
    genomes = [Candidate(5 + i, merged(rng), None, i, rng.random(4)) for i in range(proposals)]
    for start in range(0, proposals, 12):
        batch = genomes[start : start + 12]
        archive.asked(batch, len(batch))
        archive.told([_outcome(rng, candidate, proposals, objectives, failures) for candidate in batch])
    return archive


def _outcome(
    rng: np.random.Generator, candidate: Candidate, proposals: int, objectives: int, failures: Sequence[int]
) -> tuple[Done, Estimate | None]:
    assert candidate.proposal is not None
    if candidate.proposal in failures:
        return failure(candidate)
    skill = 0.42 + 0.26 * candidate.proposal / proposals
    tilt = rng.uniform(-0.2, 0.2)
    return scored(rng, candidate, [min(0.95, skill + tilt), min(0.95, skill - tilt), skill][:objectives])


def verification(
    *, objectives: int = 2, winner: int = 60, contender: int | None = 48, wins: bool = True
) -> Verification:
    """Return the table of a verification; synthetic, consistent with `make_archive`'s landmarks."""
    shift = 0.0 if wins else -0.12
    means = [0.51, 0.47, 0.34, 0.485, 0.525, 0.655 + shift, 0.62 + shift]
    names = [*(c.label or "" for c in landmarks()), f"candidate {winner}", f"candidate {contender}"]
    kinds = ["parent"] * 3 + ["baseline"] * 2 + ["winner"] * 2
    numbers = [0, 1, 2, 3, 4, winner, contender]
    rows = tuple(
        Row(
            name,
            number,
            kind,  # type: ignore[arg-type]
            tuple(ObjectiveEstimate(o, mean + 0.02 * k, 0.021, 400) for k, o in enumerate(EXPERTS[:objectives])),
            mean,
            None if number == 0 else Difference(mean - 0.51, mean - 0.56, mean - 0.46, 0.025),
        )
        for name, number, kind, mean in zip(names, numbers, kinds, means, strict=True)
        if number is not None
    )
    text = (
        f"Candidate {winner} beats the best parent (arithmetic) by +0.145 (95 % interval +0.095 to +0.195)."
        if wins
        else f"No candidate is shown to beat the best parent: candidate {winner} differs from it by +0.025, "
        "which may be chance."
    )
    return Verification(rows, "arithmetic", winner, wins=wins, verdict=text)


def with_winners(found: Verification, *standings: Standing) -> Verification:
    """Return the verification with what its winners' rows say of them, one for each standing."""
    rows = [row for row in found.rows if row.kind == "winner"][: len(standings)]
    objectives = tuple(o.name for o in found.rows[0].objectives)
    others = sorted((row for row in found.rows if row.kind != "winner"), key=lambda row: row.name != found.best_parent)
    winners = []
    for row, standing in zip(rows, standings, strict=True):
        compared = tuple(
            Comparison(
                other.name,
                "parent" if other.kind == "parent" else "baseline",
                (
                    d := Difference(
                        row.mean - other.mean, row.mean - other.mean - 0.05, row.mean - other.mean + 0.05, 0.025
                    )
                ),
                (d,) * len(objectives),
            )
            for other in others
        )
        winners.append(
            Winner(
                row.candidate,
                ("best", "knee") if row.candidate == found.winner else ("best:words",),
                objectives,
                standing,
                found.verdict if row.candidate == found.winner else f"Candidate {row.candidate} is not shown to win.",
                compared,
                Difference(0.031, 0.01, 0.052, 0.01),
                found.best_parent,
                tuple(Flips(name, 40, 12, 400) for name in objectives),
                FreshMasks("validation", 0.66, (1, 2, 3), (0.61, 0.64, 0.65)),
            )
        )
    return replace(found, winners=tuple(winners), margin=0.01)


def make_version_2(path: Path) -> None:
    """Take from an archive what version 2 of the schema did not have: digests, and the run's id."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("DELETE FROM campaign WHERE key IN ('run_id', 'sealed_from')")
        connection.execute("UPDATE campaign SET value = '2' WHERE key = 'schema_version'")
        for table in ("events", "candidates", "outcomes"):
            connection.execute(f"ALTER TABLE {table} DROP COLUMN digest")
        connection.execute("ALTER TABLE candidates DROP COLUMN recipe_digest")
        connection.commit()
