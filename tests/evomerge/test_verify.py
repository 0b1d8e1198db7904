from pathlib import Path

import numpy as np
import pytest

from evomerge.archive import Archive
from evomerge.campaign import Campaign
from evomerge.candidate import Candidate, Done, Failure, Scored
from evomerge.optimisers.random_search import RandomSearch
from evomerge.progress import Limits
from evomerge.verify import Verification, VerificationError, Verifier, contenders
from evomerge.workers.in_process import InProcessPool
from fitness.estimators import MeanEstimator, Objective
from fitness.scores import Budget, ItemScores
from fitness.splits import Splits
from fitness.statistics import paired_difference
from tests.evomerge.toy import ToySpace

TASKS = ("sums", "words")
OBJECTIVES = tuple(Objective(task, (task,)) for task in TASKS)
SPLITS = Splits.draw(
    {task: [str(i) for i in range(300)] for task in TASKS},
    shares={"search": 0.2, "validation": 0.2, "test": 0.6},
    seed=0,
)
TASK_OF = {item: item.split("/")[0] for item in SPLITS.item_ids}
ESTIMATOR = MeanEstimator(OBJECTIVES, task_of=TASK_OF, splits=SPLITS)


class CoinWorker:
    """Every item is a coin that falls on 1 with a chance that the recipe's two weights give."""

    def __init__(self, gain: float, broken: frozenset[tuple[int, str]] = frozenset()) -> None:
        self.gain, self.broken, self.seen = gain, broken, []

    def evaluate(self, candidate: Candidate, budget: Budget) -> Done:
        self.seen.append((candidate.number, budget.split))
        if (candidate.number, budget.split) in self.broken:
            return Failure(candidate, "evaluate", "broken on purpose")
        a, b = (float(i.parameters["weight"]) for i in candidate.recipe.rules[0].inputs)
        chance = 0.4 + self.gain * min(a, b)
        items = SPLITS.select(budget)
        draws = np.random.default_rng([candidate.number, len(items)]).random(len(items))
        return Scored(candidate, ItemScores(items, (draws < chance).astype(float)), 0.1)


def compare(a: ItemScores, b: ItemScores):
    return paired_difference(a, b, objectives=OBJECTIVES, task_of=TASK_OF)


def searched(path: Path, worker: CoinWorker, evaluations: int = 30) -> tuple[Archive, Verifier]:
    archive = Archive.create(path / "a.sqlite", "")
    pool = InProcessPool(lambda: worker)
    limits = Limits(evaluations)
    Campaign(archive, ToySpace(), RandomSearch(2, seed=1), estimator=ESTIMATOR, pool=pool, limits=limits).run()
    worker.seen.clear()
    return archive, Verifier(archive, pool, ESTIMATOR, compare)


def test_a_real_winner_is_called_one(tmp_path: Path) -> None:
    _, verifier = searched(tmp_path, CoinWorker(gain=0.5))
    found = verifier.verify(3, validation=True)
    assert found.wins
    assert found.verdict.startswith(f"Candidate {found.winner} beats the best parent")


def test_luck_on_search_items_is_not_a_winner(tmp_path: Path) -> None:
    _, verifier = searched(tmp_path, CoinWorker(gain=0.0))
    found = verifier.verify(3, validation=True)
    assert not found.wins
    assert found.verdict.startswith("No candidate")


def test_chance_alone_wins_in_at_most_a_twentieth_of_verifications(tmp_path: Path) -> None:
    wins = []
    for run in range(40):
        (tmp_path / str(run)).mkdir()
        worker = CoinWorker(gain=0.0)
        archive, verifier = searched(tmp_path / str(run), worker, evaluations=8 + run)
        wins.append(verifier.verify(2, validation=True).wins)
        archive.close()
    assert sum(wins) <= 4


def test_the_winner_is_picked_on_validation_items_before_test_items_are_seen(tmp_path: Path) -> None:
    worker = CoinWorker(gain=0.5)
    archive, verifier = searched(tmp_path, worker)
    found = verifier.verify(4, validation=True)
    splits = [split for _, split in worker.seen]
    assert splits == ["validation"] * 4 + ["test"] * 7
    best = max(archive.records("validation"), key=lambda r: sum(o.value for o in r.estimate.objectives))
    assert found.winner == best.number


def test_without_validation_items_the_best_of_the_search_is_the_winner(tmp_path: Path) -> None:
    worker = CoinWorker(gain=0.5)
    archive, verifier = searched(tmp_path, worker)
    assert verifier.verify(2, validation=False).winner == contenders(archive, 1)[0].number
    assert {split for _, split in worker.seen} == {"test"}


def test_every_parent_and_baseline_has_a_row_and_differences_are_to_the_best_parent(tmp_path: Path) -> None:
    _, verifier = searched(tmp_path, CoinWorker(gain=0.5))
    found = verifier.verify(2, validation=True)
    assert [row.name for row in found.rows][:3] == ["alpha", "beta", "uniform mean"]
    assert [row.kind for row in found.rows] == ["parent", "parent", "baseline", "winner", "winner"]
    best = next(row for row in found.rows if row.name == found.best_parent)
    assert best.difference is None
    assert best.mean == max(row.mean for row in found.rows if row.kind == "parent")
    for row in found.rows:
        assert row.difference is None or row.difference.value == pytest.approx(row.mean - best.mean)


def test_verifying_again_scores_nothing_again_and_says_the_same(tmp_path: Path) -> None:
    worker = CoinWorker(gain=0.5)
    _, verifier = searched(tmp_path, worker)
    first = verifier.verify(3, validation=True)
    worker.seen.clear()
    assert verifier.verify(3, validation=True) == first
    assert worker.seen == []


def test_the_verification_is_noted_in_the_archive(tmp_path: Path) -> None:
    archive, verifier = searched(tmp_path, CoinWorker(gain=0.5))
    found = verifier.verify(2, validation=True)
    assert Verification.from_json(archive.noted("verification") or "") == found


def test_verification_is_not_part_of_the_history_that_is_replayed(tmp_path: Path) -> None:
    archive, verifier = searched(tmp_path, CoinWorker(gain=0.5))
    before = len(list(archive.history()))
    verifier.verify(2, validation=True)
    assert len(list(archive.history())) == before


def test_a_candidate_that_fails_on_held_out_items_is_left_out(tmp_path: Path) -> None:
    worker = CoinWorker(gain=0.5)
    archive, verifier = searched(tmp_path, worker)
    first = contenders(archive, 1)[0].number
    worker.broken = frozenset({(first, "validation")})
    found = verifier.verify(3, validation=True)
    assert first not in [row.candidate for row in found.rows]
    assert [r.reason for r in archive.records("validation") if r.estimate is None] == ["broken on purpose"]


def test_a_parent_that_fails_on_held_out_items_is_an_error(tmp_path: Path) -> None:
    worker = CoinWorker(gain=0.5, broken=frozenset({(1, "test")}))
    _, verifier = searched(tmp_path, worker)
    with pytest.raises(VerificationError, match="'beta'"):
        verifier.verify(2, validation=True)


def test_nothing_to_verify_is_an_error(tmp_path: Path) -> None:
    archive = Archive.create(tmp_path / "a.sqlite", "")
    with pytest.raises(VerificationError, match="run the search first"):
        contenders(archive, 2)
