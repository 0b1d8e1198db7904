"""Searching on a benchmark's own test set: refused, or allowed and told in the model card.

A merge that was searched on a test set has a score there that compares with nobody else's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from evomerge.archive import Archive
from fitness.errors import FitnessError
from fitness.tasks.benchmark_split import PublishedTestSet

NOTE = "benchmark_test_sets"
KEY = "allow_benchmark_test_sets"


def check_allowed(test_sets: Mapping[str, PublishedTestSet], *, allowed: bool) -> None:
    """Refuse objectives on benchmarks' own test sets, source of a task -> test set, unless they are allowed."""
    if test_sets and not allowed:
        raise FitnessError("\n".join(_refusal(source, test_set) for source, test_set in test_sets.items()))


def note_used(archive: Archive, test_sets: Mapping[str, PublishedTestSet]) -> None:
    """Record what the search draws its items from, for the card."""
    if test_sets:
        archive.note(NOTE, json.dumps(described(test_sets)))


def noted_used(archive: Archive) -> list[str]:
    """Return a line per benchmark test set that the search drew items from."""
    return archive.parsed(NOTE, lambda text: list(map(str, json.loads(text))), damaged="skip") or []


def described(test_sets: Mapping[str, PublishedTestSet]) -> list[str]:
    """Return each test set in words."""
    return [f"{source}: {test_set.name}" for source, test_set in test_sets.items()]


def _refusal(source: str, test_set: PublishedTestSet) -> str:
    name, colon, metric = source.partition(":")
    name = name.partition("@")[0]
    others = [] if name.endswith((".yaml", ".yml")) else [f"{name}@{split}{colon}{metric}" for split in test_set.others]
    write = f"write {' or '.join(others)}, or" if others else "take another task, or"
    return (
        f"task {source!r}: expected items that are no benchmark's own test set, found {test_set.name}; {write} set "
        f"{KEY}: true, and the model card will say so"
    )
