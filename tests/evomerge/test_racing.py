"""Campaigns in which candidates race: who is stopped, what is told of it, and that a resumed one goes on alike."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from evomerge.archive import Archive
from evomerge.campaign.constraints import Constraints
from evomerge.campaign.racing import RacingPlan
from evomerge.candidate import Candidate
from evomerge.front import front_as_json, read_front
from evomerge.workers.in_process import InProcessPool
from fitness.scores import Estimate, ObjectiveEstimate, Stopped
from tests.evomerge.killing import contents, killed_and_resumed_equals_whole
from tests.evomerge.several_workers import SeveralWorkers
from tests.evomerge.test_campaign import Interrupting
from tests.evomerge.toy_races import (
    BUDGET,
    ITEMS,
    OPTIMISERS,
    TASK_OF,
    RacingWorker,
    accuracies,
    all_answers,
    estimator,
    race_campaign,
    rules,
    weights_of,
)


def pool_of(worker: RacingWorker) -> InProcessPool:
    return InProcessPool(lambda: worker)


def true_mean(archive: Archive, number: int) -> float:
    return float(np.mean(list(accuracies(*weights_of(archive.candidate(number))).values())))


def mean_of_all_items(candidate: Candidate) -> float:
    right = all_answers(weights_of(candidate))
    return float(np.mean([right[item] for item in ITEMS]))


@pytest.mark.parametrize("name", OPTIMISERS)
def test_with_racing_the_winner_is_as_good_with_fewer_answers(tmp_path: Path, name: str) -> None:
    found = {}
    for racing in (RacingPlan(rules(name)), None):
        worker = RacingWorker(rules(name))
        archive = race_campaign(tmp_path / f"{racing is None}.sqlite", name, 80, pool=pool_of(worker), racing=racing)
        points = read_front(archive).points
        winner = max(points, key=lambda point: point.estimate.mean).candidate.number
        found[racing is not None] = worker.answered, true_mean(archive, winner)
    assert found[True][0] < 0.98 * found[False][0], found
    assert found[True][1] > found[False][1] - 0.02, found


def test_whom_no_rival_beats_is_stopped_in_at_most_delta_of_cases(tmp_path: Path) -> None:
    """Beaten means by its answers to all of the items, which the toy knows."""
    delta = 0.2
    worker = RacingWorker(rules("cma_es", delta=delta, first_look=4))
    archive = race_campaign(tmp_path / "a.sqlite", "cma_es", 300, pool=pool_of(worker), racing=RacingPlan(worker.rules))
    stops = {number: stop.n_items for number, stop in read_front(archive).stopped.items()}
    unbeaten = [
        number
        for number, budget in worker.budgets.items()
        if budget.rivals and mean_of_all_items(archive.candidate(number)) >= budget.rivals[0].values.mean()
    ]
    assert len(unbeaten) > 20
    assert len(stops.keys() & set(unbeaten)) / len(unbeaten) <= delta
    assert len(stops) > 15


@pytest.mark.parametrize("name", OPTIMISERS)
def test_the_front_is_of_candidates_that_answered_everything(tmp_path: Path, name: str) -> None:
    archive = race_campaign(tmp_path / "a.sqlite", name, 50)
    front = read_front(archive)
    assert all(point.estimate.stopped is None for point in front.points)
    stopped = {r.number: r.estimate.stopped for r in archive.records() if r.estimate and r.estimate.stopped}
    assert dict(front.stopped) == stopped
    assert len(stopped) > 3
    told = {entry["candidate"]: entry for entry in front_as_json(archive, "toy")["stopped"]}
    for number, stop in stopped.items():
        scores = archive.scores(number, "search")
        assert scores is not None
        assert len(scores.item_ids) == stop.n_items < len(ITEMS)
        assert scores.item_ids == ITEMS[: stop.n_items]
        assert told[number]["reason"] == stop.reason
        assert told[number]["n_items"] == stop.n_items
        assert stop.shortfall > 0
    assert (front.infeasible, front.notes) == (0, ())


def test_a_stopped_candidate_has_its_rivals_estimate_and_their_difference(tmp_path: Path) -> None:
    archive = race_campaign(tmp_path / "a.sqlite", "cma_es", 50)
    told = {r.number: r.estimate for r in archive.records()}
    stopped = {number: e for number, e in told.items() if e is not None and e.stopped is not None}
    for number, estimate in stopped.items():
        assert estimate.stopped is not None
        assert estimate.stopped.rival is not None
        rival, mine = archive.scores(estimate.stopped.rival, "search"), archive.scores(number, "search")
        whole = told[estimate.stopped.rival]
        assert rival is not None
        assert mine is not None
        assert whole is not None
        differences = mine.values - rival.values[: len(mine.values)]
        behind = []
        for got, theirs in zip(estimate.objectives, whole.objectives, strict=True):
            of_task = differences[[TASK_OF[item] == got.name for item in mine.item_ids]]
            assert got.value == pytest.approx(np.clip(theirs.value + of_task.mean(), 0, 1))
            assert got.n_items == len(of_task)
            assert got.kind == "estimated"
            assert got.stderr == pytest.approx(np.hypot(theirs.stderr, of_task.std(ddof=1) / len(of_task) ** 0.5))
            behind.append(-of_task.mean())
        assert estimate.stopped.shortfall == pytest.approx(np.mean(behind))


def test_candidates_race_the_last_of_the_better_half_and_first_the_best_landmark(tmp_path: Path) -> None:
    worker = RacingWorker(rules("cma_es"))
    archive = race_campaign(tmp_path / "a.sqlite", "cma_es", 43, pool=pool_of(worker))  # 3 landmarks, 5 generations
    records = {r.number: r.estimate for r in archive.records()}
    best = max(range(3), key=lambda n: records[n].mean)  # type: ignore[union-attr]
    expected = archive.scores(best, "search")
    for generation in range(5):
        members = range(3 + 8 * generation, 11 + 8 * generation)
        rivals = [worker.budgets[n].rivals for n in members]
        assert all(rival == ((expected,) if expected is not None else ()) for rival in rivals)
        half = sorted(members, key=lambda n: _rank(records[n], n))[:4]
        whole = [n for n in half if records[n].stopped is None]  # type: ignore[union-attr]
        expected = archive.scores(whole[-1], "search") if whole else None


def _rank(estimate: Estimate | None, number: int) -> tuple[float, float, int]:
    assert estimate is not None
    return estimate.stopped.shortfall if estimate.stopped else 0.0, -estimate.mean, number


def test_a_search_of_the_front_races_points_of_it(tmp_path: Path) -> None:
    worker = RacingWorker(rules("nsga2"))
    archive = race_campaign(tmp_path / "a.sqlite", "nsga2", 51, pool=pool_of(worker))
    values = {r.number: [o.value for o in r.estimate.objectives] for r in archive.records() if r.estimate}
    whole = {r.number for r in archive.records() if r.estimate and r.estimate.stopped is None}
    for generation in range(6):
        first = 3 + 8 * generation
        known = {n: values[n] for n in whole if n < first}
        for rival in worker.budgets[first].rivals:
            assert rival.item_ids == ITEMS
            own = [rival.values[[TASK_OF[item] == task for item in ITEMS]].mean() for task in ("sums", "words")]
            assert not any(a >= own[0] + 1e-9 and b >= own[1] + 1e-9 for a, b in known.values())
        assert len({worker.budgets[n].rivals for n in range(first, first + 8)}) == 1
        assert 1 <= len(worker.budgets[first].rivals) <= 8


@pytest.mark.parametrize("name", OPTIMISERS)
@pytest.mark.parametrize("after", [3, 17])
def test_an_interrupted_race_resumes_to_the_same_archive(tmp_path: Path, name: str, after: int) -> None:
    race_campaign(tmp_path / "whole.sqlite", name, 35).close()
    interrupted = Interrupting(pool_of(RacingWorker(rules(name))), after)
    with pytest.raises(KeyboardInterrupt):
        race_campaign(tmp_path / "resumed.sqlite", name, 35, pool=interrupted)
    race_campaign(tmp_path / "resumed.sqlite", name, 35).close()
    assert contents(tmp_path / "resumed.sqlite") == contents(tmp_path / "whole.sqlite")


@pytest.mark.parametrize("name", ["racing cma_es", "racing nsga2"])
def test_a_killed_race_resumes_to_the_same_archive(tmp_path: Path, name: str) -> None:
    killed_and_resumed_equals_whole(tmp_path, name, seed=1)


@pytest.mark.parametrize("name", ["cma_es", "nsga2"])
def test_completion_order_changes_nothing(tmp_path: Path, name: str) -> None:
    race_campaign(tmp_path / "one.sqlite", name, 35).close()
    several = SeveralWorkers(lambda: RacingWorker(rules(name)), 4)
    race_campaign(tmp_path / "four.sqlite", name, 35, pool=several).close()
    assert contents(tmp_path / "four.sqlite") == contents(tmp_path / "one.sqlite")


def test_progress_counts_who_was_stopped_and_what_was_answered(tmp_path: Path) -> None:
    seen: list[tuple[int, int, float | None]] = []
    worker = RacingWorker(rules("nsga2"))
    archive = race_campaign(
        tmp_path / "a.sqlite",
        "nsga2",
        40,
        pool=pool_of(worker),
        watch=lambda p: seen.append((p.stopped, p.answers, p.share_answered)),
    )
    assert seen[-1] == (len(read_front(archive).stopped), worker.answered, worker.answered / (40 * len(ITEMS)))


def test_what_misses_a_constraint_is_told_apart_from_what_was_stopped() -> None:
    constraints = Constraints()
    estimate = Estimate("search", (ObjectiveEstimate("sums", 0.4, 0.1, 10),), Stopped("worse", 3, 10, 0.2))
    assert constraints.missed(estimate) == 0.0
    assert constraints.violation(estimate) == 0.2
    assert estimate.in_words == "stopped after 10 items"


def test_a_race_needs_a_list_of_items(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="lists its items"):
        race_campaign(tmp_path / "a.sqlite", "random", 5, budget=type(BUDGET)("search"))


def test_the_toys_estimates_are_the_means_of_their_answers(tmp_path: Path) -> None:
    archive = race_campaign(tmp_path / "a.sqlite", "random", 10, racing=None)
    for record in archive.records():
        scores = archive.scores(record.number, "search")
        assert scores is not None
        assert record.estimate == estimator().estimate(scores)
