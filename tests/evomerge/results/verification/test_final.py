"""Final items are opened once, for one winner, whatever happens before, meanwhile and after."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from evomerge.archive import Archive, ArchiveError
from evomerge.campaign.campaign import Campaign
from evomerge.campaign.progress import Limits
from evomerge.candidate import Candidate, Done, Failure, Scored
from evomerge.optimisers.random_search import RandomSearch
from evomerge.results.verification.final import FinalLook
from evomerge.results.verification.result import VerificationError
from evomerge.results.verification.verifier import Verifier
from evomerge.workers.in_process import InProcessPool
from fitness.estimation import MeanEstimator, Objective
from fitness.scores import Budget, ItemScores
from fitness.splits import Splits
from fitness.statistics import PairedComparison
from tests.evomerge.toy import ToySpace

SHARES = {"search": 0.2, "validation": 0.2, "test": 0.3, "final": 0.3}
SPLITS = Splits.draw({"all": {str(i): f"question {i}" for i in range(900)}}, shares=SHARES, seed=0)
TASK_OF = dict.fromkeys(SPLITS.item_ids, "all")
OBJECTIVES = (Objective("all", ("all",)),)
ESTIMATOR = MeanEstimator(OBJECTIVES, task_of=TASK_OF, splits=SPLITS)
COMPARISON = PairedComparison(OBJECTIVES, TASK_OF)


class CoinWorker:
    """Items are coins, heads with a chance of a half for parents and more for merges; `stop` interrupts one of them."""

    def __init__(self, gain: float = 0.0) -> None:
        self.gain, self.seen, self.stop, self.broken = gain, [], None, None

    def evaluate(self, candidate: Candidate, budget: Budget) -> Done:
        place = (candidate.number, budget.split)
        if place == self.stop:
            raise KeyboardInterrupt
        self.seen.append(place)
        if place == self.broken:
            return Failure(candidate, "evaluate", "broken on purpose")
        items = SPLITS.select(budget)
        chance = 0.5 + (self.gain if candidate.number > 2 else 0.0)
        draws = np.random.default_rng([candidate.number, len(items)]).random(len(items))
        return Scored(candidate, ItemScores(items, (draws < chance).astype(float)), 0.1)


@pytest.fixture
def worker() -> CoinWorker:
    return CoinWorker(gain=0.3)


@pytest.fixture
def archive(tmp_path: Path, worker: CoinWorker):
    archive = Archive.create(tmp_path / "a.sqlite", "")
    search(archive, worker, 6)
    yield archive
    archive.close()


def search(archive: Archive, worker: CoinWorker, evaluations: int) -> None:
    pool, limits, optimiser = InProcessPool(lambda: worker), Limits(evaluations), RandomSearch(2, seed=1)
    Campaign(archive, ToySpace(), optimiser, estimator=ESTIMATOR, pool=pool, limits=limits).run()


def verifier(archive: Archive, worker: CoinWorker) -> Verifier:
    return Verifier(archive, InProcessPool(lambda: worker), ESTIMATOR, COMPARISON)


def on_final(worker: CoinWorker) -> list[int]:
    return [number for number, split in worker.seen if split == "final"]


def test_one_winner_is_tested_against_parents_and_recipes_with_all_of_the_error(archive, worker):
    verified = verifier(archive, worker).verify(3, validation=True)
    assert on_final(worker) == []
    look = verifier(archive, worker).verify_finally()
    assert on_final(worker) == [0, 1, 2, verified.winner]
    found = look.found
    assert (found.winner, found.split, found.standing, found.best_parent) == (
        verified.winner, "final", "better", verified.best_parent
    )  # fmt: skip
    # The reference: the comparison's own 95 % interval on the final items, the least sure of the parents.
    mine = archive.scores(verified.winner, "final")
    theirs = {name: archive.scores(number, "final") for number, name in enumerate(("alpha", "beta"))}
    nearest, d = min(
        ((name, COMPARISON.of_means(mine, scores)) for name, scores in theirs.items()), key=lambda one: one[1].low
    )
    n = len(SPLITS.items["final"])
    assert (
        f"the nearest is {nearest}, by {d.value:+.3f} (95 % interval {d.low:+.3f} to {d.high:+.3f}) on {n} final items."
        in look.lines[0]
    )


def test_a_second_look_shows_what_was_found_and_scores_nothing(archive, worker):
    verifier(archive, worker).verify(3, validation=True)
    first = verifier(archive, worker).verify_finally()
    worker.seen.clear()
    search(archive, worker, 20)
    verifier(archive, worker).verify(9, validation=True)
    assert verifier(archive, worker).verify_finally() == first
    assert on_final(worker) == []


@pytest.mark.parametrize("stopped_at", [1, "winner"])
def test_one_that_was_stopped_goes_on_with_its_candidate_whatever_was_verified_since(archive, worker, stopped_at):
    winner = verifier(archive, worker).verify(1, validation=True).winner
    worker.stop = (winner if stopped_at == "winner" else stopped_at, "final")
    with pytest.raises(KeyboardInterrupt):
        verifier(archive, worker).verify_finally()
    assert FinalLook.noted(archive).lines == (
        f"Final items: opened for candidate {winner}, and not all scored; go on with --final.",
    )
    search(archive, worker, 30)
    others = verifier(archive, worker).verify(20, validation=True)
    assert others.winner != winner
    worker.stop = None
    assert verifier(archive, worker).verify_finally().found.winner == winner
    assert sorted(on_final(worker)) == [0, 1, 2, winner]  # each once


def test_without_a_verification_there_is_nobody_to_open_them_for(archive, worker):
    with pytest.raises(VerificationError, match="expected a verification before, found none"):
        verifier(archive, worker).verify_finally()
    assert archive.noted("final") is None


def test_who_fails_on_them_is_an_error_and_stays_the_one_that_they_were_opened_for(archive, worker):
    winner = verifier(archive, worker).verify(3, validation=True).winner
    worker.broken = (winner, "final")
    for _ in range(2):
        with pytest.raises(VerificationError, match="every candidate failed"):
            verifier(archive, worker).verify_finally()
    assert FinalLook.noted(archive).candidate == winner


def test_a_damaged_record_opens_nothing_again(archive, worker):
    verifier(archive, worker).verify(3, validation=True)
    archive.note("final", "{}")
    with pytest.raises(ArchiveError, match="row final"):
        verifier(archive, worker).verify_finally()
    assert on_final(worker) == []
    assert FinalLook.noted(archive, damaged="skip") is None


def test_what_is_recorded_is_what_was_found(archive, worker):
    verified = verifier(archive, worker).verify(3, validation=True)
    look = verifier(archive, worker).verify_finally()
    assert FinalLook.noted(archive) == look
    assert look.found.winners[0].picks == verified.winners[0].picks
    assert "less final score" in " ".join(look.found.winners[0].facts)


def test_a_verification_of_an_older_version_has_a_winner_too(archive, worker):
    verified = verifier(archive, worker).verify(3, validation=True)
    older = {key: value for key, value in asdict(verified).items() if key not in ("winners", "split", "n_groups")}
    archive.note("verification", json.dumps(older))
    assert verifier(archive, worker).verify_finally().found.winners[0].picks == ("best",)


def test_the_final_part_takes_nothing_from_the_others():
    tasks = {"all": {str(i): f"question {i}" for i in range(900)}}
    without = Splits.draw(tasks, shares={split: share for split, share in SHARES.items() if split != "final"}, seed=0)
    assert "final" not in without.items
    assert {split: set(SPLITS.items[split]) for split in without.items} == {
        split: set(items) for split, items in without.items.items()
    }
