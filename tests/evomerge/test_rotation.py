"""Rotation: every few generations the items change, and whom new candidates are compared with is measured anew."""

from __future__ import annotations

from pathlib import Path

import pytest

from evomerge.archive import Archive, Asked, Retold
from evomerge.campaign.racing import RacingPlan
from evomerge.campaign.rotation import Rotation
from evomerge.workers.in_process import InProcessPool
from fitness.scores import Budget
from tests.evomerge.killing import contents
from tests.evomerge.several_workers import SeveralWorkers
from tests.evomerge.test_campaign import Interrupting
from tests.evomerge.toy_races import ITEMS, RacingWorker, estimator, race_campaign, rules

N = 48  # of 120 items: the third set begins again with the first items


def run(path: Path, name: str, evaluations: int = 51, *, pool=None, every: int | None = 2, **options) -> Archive:
    pool = pool or InProcessPool(lambda: RacingWorker(rules(name)))
    plan = RacingPlan(rules(name), rotate=every, all_items=ITEMS, **options)
    return race_campaign(path, name, evaluations, pool=pool, racing=plan, budget=Budget("search", ITEMS[:N]))


def turn(k: int) -> tuple[str, ...]:
    return tuple(ITEMS[(k * N + i) % len(ITEMS)] for i in range(N))


@pytest.mark.parametrize("name", ["cma_es", "nsga2"])
def test_every_second_generation_has_the_next_items(tmp_path: Path, name: str) -> None:
    worker = RacingWorker(rules(name))
    archive = run(tmp_path / "a.sqlite", name, pool=InProcessPool(lambda: worker))
    asked = [event for event in archive.history() if isinstance(event, Asked)]
    for candidate in (c for event in asked for c in event.candidates if c.proposal is not None):
        scores = {r.number: r.scores for r in told(archive)}[candidate.number]
        expected = turn(candidate.proposal // 8 // 2)
        assert scores.item_ids == expected[: len(scores.item_ids)]
    assert sum(isinstance(event, Retold) for event in archive.history()) == 2


def told(archive: Archive):
    return [
        r for e in archive.history() if not isinstance(e, Asked | Retold) for r in e.records if r.scores is not None
    ]


@pytest.mark.parametrize("name", ["cma_es", "nsga2"])
def test_rivals_are_measured_on_the_items_of_the_race(tmp_path: Path, name: str) -> None:
    worker = RacingWorker(rules(name))
    archive = run(tmp_path / "a.sqlite", name, pool=InProcessPool(lambda: worker))
    raced = 0
    for number in range(3, 51):
        if archive.candidate(number).proposal is None:
            continue
        rivals = worker.budgets[number].rivals if number in worker.budgets else ()
        for rival in rivals:
            raced += 1
            assert rival.item_ids in [turn(k) for k in range(3)]
    assert raced > 10


def test_the_population_is_measured_anew_and_its_estimates_rest_on_all_that_it_answered(tmp_path: Path) -> None:
    archive = run(tmp_path / "a.sqlite", "nsga2")
    first = next(event for event in archive.history() if isinstance(event, Retold))
    assert len(first.records) >= 8
    larger = archive.rescored()
    for record in first.records:
        assert record.scores is not None
        assert record.scores.item_ids == turn(1)
        assert record.estimate == estimator().estimate(record.scores)
        known = archive.scores(record.number, "search")
        assert known is not None
        assert set(known.item_ids) >= set(turn(1)) | set(turn(0)[:10])
        assert larger[record.number] == estimator().estimate(known)


@pytest.mark.parametrize("name", ["cma_es", "nsga2"])
@pytest.mark.parametrize("after", [19, 20, 22, 26])
def test_interrupted_anywhere_it_resumes_to_the_same_archive(tmp_path: Path, name: str, after: int) -> None:
    run(tmp_path / "whole.sqlite", name, 30).close()
    interrupted = Interrupting(InProcessPool(lambda: RacingWorker(rules(name))), after)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut.sqlite", name, 30, pool=interrupted)
    run(tmp_path / "cut.sqlite", name, 30).close()
    assert contents(tmp_path / "cut.sqlite") == contents(tmp_path / "whole.sqlite")


def test_after_a_kill_nobody_is_measured_twice(tmp_path: Path) -> None:
    interrupted = Interrupting(InProcessPool(lambda: RacingWorker(rules("nsga2"))), 23)
    with pytest.raises(KeyboardInterrupt):  # three landmarks, two generations, four of the population
        run(tmp_path / "cut.sqlite", "nsga2", 27, pool=interrupted)
    worker = RacingWorker(rules("nsga2"))
    archive = run(tmp_path / "cut.sqlite", "nsga2", 27, pool=InProcessPool(lambda: worker))
    first = next(event for event in archive.history() if isinstance(event, Retold))
    again = [r.number for r in first.records if r.number in worker.budgets]
    assert len(again) == len(first.records) - 4


@pytest.mark.parametrize("name", ["cma_es", "nsga2"])
def test_completion_order_changes_nothing(tmp_path: Path, name: str) -> None:
    run(tmp_path / "one.sqlite", name, 35, rungs=(16,)).close()
    pool = SeveralWorkers(lambda: RacingWorker(rules(name)), 4)
    run(tmp_path / "four.sqlite", name, 35, pool=pool, rungs=(16,)).close()
    assert contents(tmp_path / "four.sqlite") == contents(tmp_path / "one.sqlite")


def test_the_items_follow_each_other_cyclically(tmp_path: Path) -> None:
    archive = Archive.create(tmp_path / "a.sqlite", "")
    rotation = Rotation(archive, ITEMS, N, 1)
    assert [rotation.turn() for _ in range(4)] == [turn(k) for k in (1, 2, 3, 4)]
