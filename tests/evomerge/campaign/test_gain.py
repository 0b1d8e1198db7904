"""`budget.stop`: a search ends once its optimiser expects too little, and a kill does not undo that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from evomerge.archive import Archive
from evomerge.campaign.campaign import Campaign
from evomerge.campaign.gain import FEWEST, NOTE, never_over, tells_gain
from evomerge.campaign.past import CampaignError
from evomerge.campaign.progress import Limits
from evomerge.candidate import Outcome
from evomerge.optimisers import Random
from evomerge.optimisers.after_landmarks import AfterLandmarks
from evomerge.optimisers.problem import Problem
from evomerge.optimisers.random_search import RandomSearch
from evomerge.workers.in_process import InProcessPool
from evomerge.workers.protocol import WorkerPool
from tests.evomerge.campaign.test_campaign import Interrupting
from tests.evomerge.killing import contents
from tests.evomerge.several_workers import SeveralWorkers
from tests.evomerge.toy import ToyEstimator, ToySpace, ToyWorker


class Waning:
    """Expects 1 / n after n outcomes; whoever is told later makes it hopeful again."""

    def __init__(self, *, hopeful_after: int = 10**9) -> None:
        self.own_search, self.n_told, self._hopeful_after = RandomSearch(2, seed=0), 0, hopeful_after

    def ask(self, n: int) -> Sequence[np.ndarray]:
        return self.own_search.ask(n)

    def tell(self, outcomes: Sequence[Outcome]) -> None:
        self.n_told += len(outcomes)

    def gain_left(self) -> float | None:
        return 1.0 if self.n_told > self._hopeful_after else 1.0 / max(1, self.n_told)


def searched(
    path: Path, gain: float | None, *, optimiser: object = None, pool: WorkerPool | None = None, evaluations: int = 80
) -> tuple[str, Campaign]:
    archive = Archive.open(path) if path.exists() else Archive.create(path, "name: toy\n")
    campaign = Campaign(
        archive,
        ToySpace(),
        optimiser or Waning(),
        estimator=ToyEstimator(),
        pool=pool or InProcessPool(ToyWorker),
        limits=Limits(evaluations, gain=gain),
    )
    try:
        return campaign.run(), campaign
    finally:
        archive.close()


def test_it_ends_after_the_first_candidate_with_which_too_little_is_expected(tmp_path: Path) -> None:
    ending, campaign = searched(tmp_path / "a.sqlite", 1 / 40)
    assert ending == "converged"
    assert campaign.progress.done == 3 + 40  # landmarks, and n with 1 / n <= 1 / 40
    assert campaign.progress.gain_left == 1 / 40


def test_few_candidates_are_no_ground_to_end_on(tmp_path: Path) -> None:
    ending, campaign = searched(tmp_path / "a.sqlite", 0.5)
    assert (ending, campaign.progress.done) == ("converged", FEWEST)


@pytest.mark.parametrize("optimiser", [RandomSearch(2, seed=0), None])
def test_without_the_option_or_an_optimiser_that_can_tell_it_goes_on(tmp_path: Path, optimiser: object) -> None:
    ending, campaign = searched(tmp_path / "a.sqlite", 0.5 if optimiser else None, optimiser=optimiser, evaluations=50)
    assert (ending, campaign.progress.done, campaign.progress.gain_left) == ("evaluations", 50, None)


def test_what_is_told_after_the_decision_does_not_undo_it_though_everything_was_killed_between(tmp_path: Path) -> None:
    # With four workers three others are on their way when the 37th proposal decides.
    hopeful = {"hopeful_after": 37}
    whole = searched(tmp_path / "whole.sqlite", 1 / 37, optimiser=Waning(**hopeful), pool=SeveralWorkers(ToyWorker, 4))
    assert whole[0] == "converged"
    for after in (40, 41, 42):
        path = tmp_path / f"cut {after}.sqlite"
        pool = Interrupting(SeveralWorkers(ToyWorker, 4), after)
        with pytest.raises(KeyboardInterrupt):
            searched(path, 1 / 37, optimiser=Waning(**hopeful), pool=pool)
        ending, _ = searched(path, 1 / 37, optimiser=Waning(**hopeful), pool=SeveralWorkers(ToyWorker, 4))
        assert ending == "converged"
        assert contents(path) == contents(tmp_path / "whole.sqlite")


def test_it_goes_on_where_a_smaller_gain_counts_and_ends_at_once_where_it_does_not(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    searched(path, 1 / 40)
    assert searched(path, 1 / 40)[1].progress.done == 43
    ending, campaign = searched(path, 1 / 50)
    assert (ending, campaign.progress.done) == ("converged", 53)
    archive = Archive.read(path)
    assert archive.noted(NOTE) == repr(1 / 50)
    archive.close()
    assert searched(path, None)[0] == "evaluations"


def test_the_optimiser_behind_landmarks_is_asked(tmp_path: Path) -> None:
    problem = Problem(ToySpace(), 3, {"sums": 1.0, "words": 1.0}, 100)
    optimiser = AfterLandmarks(problem, lambda _: Waning(), ToySpace().encode, n_landmarks=3)
    assert optimiser.gain_left() is None
    ending, campaign = searched(tmp_path / "a.sqlite", 1 / 40, optimiser=optimiser)
    assert (ending, campaign.progress.done) == ("converged", 43)


@pytest.mark.parametrize("found", [-0.1, float("nan")])
def test_a_gain_that_is_none_names_the_optimiser(tmp_path: Path, found: float) -> None:
    optimiser = Waning()
    optimiser.gain_left = lambda: found  # type: ignore[method-assign]
    with pytest.raises(CampaignError, match=r"Waning.gain_left\(\): expected a number of at least 0 or None, found"):
        searched(tmp_path / "a.sqlite", 0.1, optimiser=optimiser)


def test_who_cannot_tell_is_named_at_the_start() -> None:
    assert never_over("random").startswith(
        "budget.stop: random cannot tell what is left to gain, so the search ends at"
    )
    assert not tells_gain(Random(), None)
    assert tells_gain(Random(), Waning())
    assert replace(Limits(3), gain=0.1).gain == 0.1
