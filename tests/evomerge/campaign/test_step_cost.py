"""A plain step of a search pays for nothing that is off: the files and functions that it enters are counted."""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest

import evomerge
from evomerge.archive import Archive
from evomerge.campaign.campaign import Campaign
from evomerge.campaign.progress import Limits
from evomerge.candidate import Candidate, Done, Scored
from evomerge.optimisers.random_search import RandomSearch
from evomerge.workers.in_process import InProcessPool
from fitness.estimation import MeanEstimator, Objective
from fitness.scores import Budget, ItemScores
from fitness.splits import Splits
from search_spaces.recipes.groups import Groups
from search_spaces.recipes.recipe import ParentSource
from search_spaces.spaces.space import SearchSpace
from search_spaces.spaces.weight_space import WeightSpace
from tests.evomerge.toy import ITEMS, ToySpace

ROOT = Path(evomerge.__file__).parents[1]
PACKAGES = tuple(f"{ROOT / name}/" for name in ("evomerge", "fitness", "search_spaces"))
SCORES = ItemScores(ITEMS, np.tile([0.0, 1.0], len(ITEMS) // 2))


class NoWork:
    """Knows every score, so that what is counted is the campaign's."""

    def evaluate(self, candidate: Candidate, budget: Budget) -> Done:
        del budget
        return Scored(candidate, SCORES, 0.0)

    def evaluate_together(self, candidates: Sequence[Candidate], budget: Budget) -> list[Done]:
        return [self.evaluate(candidate, budget) for candidate in candidates]


def entered(campaign: Campaign) -> set[tuple[str, str, int]]:
    """Return (file, function, line) of everything of the packages that one step of ask and tell enters."""
    found: set[tuple[str, str, int]] = set()
    worker = NoWork()

    def note(frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        comprehension = code.co_name.startswith("<")  # a part of its function, and no frame from Python 3.12 on
        if event == "call" and code.co_filename.startswith(PACKAGES) and not comprehension:
            found.add((code.co_filename.removeprefix(f"{ROOT}/"), code.co_qualname, code.co_firstlineno))

    gc.disable()  # what it enters to clear up after other tests is none of the step's
    sys.setprofile(note)
    try:
        (candidate,) = campaign.ask()
        campaign.tell([worker.evaluate(candidate, campaign.items(candidate))])
    finally:
        sys.setprofile(None)
        gc.enable()
    return found


def step(directory: Path, space: SearchSpace[np.ndarray], dim: int) -> set[tuple[str, str, int]]:
    """Return what one step of random search with everything optional off enters."""
    task_of = {item: item.split("/")[0] for item in ITEMS}
    estimator = MeanEstimator(
        [Objective(task, (task,)) for task in ("sums", "words")], task_of=task_of, splits=Splits({"search": ITEMS})
    )
    archive = Archive.create(directory / "a.sqlite", "")
    optimiser, pool = RandomSearch(dim, seed=0), InProcessPool(NoWork)
    campaign = Campaign(archive, space, optimiser, estimator=estimator, pool=pool, limits=Limits(100))
    for candidate in campaign.ask(10):  # what comes once: the landmarks, the layout of the items
        campaign.tell([Scored(candidate, SCORES, 0.0)])
    return entered(campaign)


def real_space() -> WeightSpace:
    parents = {name: ParentSource(f"/models/{name}") for name in ("base", "arithmetic", "words", "code")}
    genes = {"weight": (0.0, 1.5)}
    return WeightSpace(parents, "base", n_layers=24, operators=["ties"], groups=Groups(5), genes=genes)


@pytest.mark.parametrize("space", [ToySpace(), real_space()], ids=["toy", "weights"])
def test_a_plain_step_enters_at_most_sixteen_files_and_sixty_functions(space: Any, tmp_path: Path) -> None:
    functions = step(tmp_path, space, getattr(space, "dim", 2))
    assert len({file for file, *_ in functions}) <= 16, functions
    assert len(functions) <= 60, functions
