"""A guard, an objective of weight 0, changes nothing of a search but by its constraint."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import evomerge as em
from evomerge.archive import Archive
from evomerge.optimisers.without_guards import NOTE

TWO = {"sums": "sums.jsonl", "words": "words.jsonl"}
NSGA2 = em.optimisers.Pymoo(kind="nsga2", population=4)


def with_third(weight: float) -> dict[str, Any]:
    return TWO | {"both": {"tasks": ["sums.jsonl", "words.jsonl"], "weight": weight}}


def genomes(run: em.Run) -> list[list[float]]:
    with run.archive() as archive:
        return [np.asarray(c.genome).tolist() for c in archive.candidates() if c.genome is not None]


@pytest.mark.parametrize("optimiser", [NSGA2, "cma_es"])
def test_the_search_is_the_same_with_a_guard_as_without(searched: Callable[..., em.Run], optimiser: Any) -> None:
    plain = searched(objectives=TWO, optimiser=optimiser, evaluations=14, run_dir="plain")
    guarded = searched(objectives=with_third(0.0), optimiser=optimiser, evaluations=14, run_dir="guarded")
    assert genomes(guarded) == genomes(plain)
    front = [point.candidate.number for point in plain.front]
    assert [point.candidate.number for point in guarded.front] == front
    assert dict(guarded.front.picks.chosen) == dict(plain.front.picks.chosen)
    assert guarded.resume(16).n_candidates == 16


def test_a_search_whose_optimiser_an_older_evomerge_told_of_guards_goes_on_so(searched: Callable[..., em.Run]) -> None:
    run = searched(objectives=with_third(1.0), optimiser=NSGA2, evaluations=12)
    before = genomes(run)
    path = Path("run") / "archive.sqlite"
    archive = Archive.open(path)  # NSGA-II knew no weights: with another one it proposed the same
    third = archive.campaign.rpartition("weight: 1.0")
    archive.note("campaign", f"{third[0]}weight: 0.0{third[2]}")
    archive.close()
    assert [o.weight for o in run.candidates[0].estimate.objectives] == [1.0, 1.0, 0.0]
    assert genomes(run.resume(16))[: len(before)] == before
    with run.archive() as archive:
        assert archive.noted(NOTE) is None
