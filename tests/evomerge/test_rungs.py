"""Rungs: after the first items the better part of a generation goes on, and a resumed campaign decides alike."""

from __future__ import annotations

from pathlib import Path

import pytest

from evomerge.archive import Archive
from evomerge.campaign.racing import RacingPlan
from evomerge.front import read_front
from evomerge.workers.in_process import InProcessPool
from tests.evomerge.killing import contents
from tests.evomerge.several_workers import SeveralWorkers
from tests.evomerge.test_campaign import Interrupting
from tests.evomerge.toy_races import ITEMS, RacingWorker, race_campaign, rules

SIZES = (20, 60)


def plan(name: str, **options: object) -> RacingPlan:
    # A delta that no test reaches: nobody is stopped but at rungs, or without any hope.
    return RacingPlan(rules(name, delta=1e-30), **{"rungs": SIZES, **options})


def run(path: Path, name: str, evaluations: int = 35, *, pool=None, **options: object) -> Archive:
    pool = pool or InProcessPool(lambda: RacingWorker(rules(name, delta=1e-30)))
    return race_campaign(path, name, evaluations, pool=pool, racing=plan(name, **options))


def test_of_each_generation_the_better_half_goes_on_and_of_these_the_better_half(tmp_path: Path) -> None:
    archive = run(tmp_path / "a.sqlite", "cma_es")
    told = {r.number: r.estimate for r in archive.records() if r.estimate is not None}
    for generation in range(4):
        members = range(3 + 8 * generation, 11 + 8 * generation)
        answered = {n: archive.scores(n, "search") for n in members}
        gone = {n for n in members if told[n].stopped is not None}
        assert len(gone) >= 6
        for n in gone:
            stop, scores = told[n].stopped, answered[n]
            assert stop is not None
            assert scores is not None
            assert scores.item_ids == ITEMS[: stop.n_items]
            assert stop.reason in ("rung", "hopeless")
            if stop.reason == "rung":
                # It is behind everybody who went on, on the items that both have answered.
                mine = scores.values.mean()
                further = [s for s in answered.values() if s is not None and len(s.item_ids) > stop.n_items]
                assert all(s.values[: stop.n_items].mean() >= mine - 1e-12 for s in further)


def test_who_comes_further_ranks_higher_and_nobody_stopped_is_on_the_front(tmp_path: Path) -> None:
    for name in ("cma_es", "nsga2"):
        archive = run(tmp_path / f"{name}.sqlite", name)
        stops = [r.estimate.stopped for r in archive.records() if r.estimate and r.estimate.stopped]
        shortfalls = {n: [s.shortfall for s in stops if s.n_items == n and s.reason == "rung"] for n in SIZES}
        assert 0 < max(shortfalls[60]) <= 2 < min(shortfalls[20]) <= max(shortfalls[20]) < 3
        assert min(shortfalls[60]) > 1
        assert all(point.estimate.stopped is None for point in read_front(archive).points)


def test_rungs_answer_far_fewer_items(tmp_path: Path) -> None:
    worker = RacingWorker(rules("cma_es", delta=1e-30))
    run(tmp_path / "a.sqlite", "cma_es", 43, pool=InProcessPool(lambda: worker))
    # Per generation of eight at most 8 * 20 + 4 * 40 + 2 * 60 answers of 8 * 120.
    assert worker.answered <= 3 * 120 + 5 * 440


def test_answers_are_asked_for_once(tmp_path: Path) -> None:
    worker = RacingWorker(rules("nsga2", delta=1e-30))
    archive = run(tmp_path / "a.sqlite", "nsga2", pool=InProcessPool(lambda: worker))
    scores = [archive.scores(n, "search") for n in range(35)]
    assert worker.answered == sum(len(s.item_ids) for s in scores if s is not None)


@pytest.mark.parametrize("name", ["cma_es", "nsga2"])
@pytest.mark.parametrize("after", [3, 8, 13, 21, 30])
def test_interrupted_anywhere_it_resumes_to_the_same_archive(tmp_path: Path, name: str, after: int) -> None:
    run(tmp_path / "whole.sqlite", name, 27).close()
    interrupted = Interrupting(InProcessPool(lambda: RacingWorker(rules(name, delta=1e-30))), after)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut.sqlite", name, 27, pool=interrupted)
    worker = RacingWorker(rules(name, delta=1e-30))
    run(tmp_path / "cut.sqlite", name, 27, pool=InProcessPool(lambda: worker)).close()
    assert contents(tmp_path / "cut.sqlite") == contents(tmp_path / "whole.sqlite")


def test_what_waited_is_not_asked_again_after_a_kill(tmp_path: Path) -> None:
    interrupted = Interrupting(InProcessPool(lambda: RacingWorker(rules("cma_es", delta=1e-30))), 8)
    with pytest.raises(KeyboardInterrupt):  # three landmarks, and five of eight at the first rung
        run(tmp_path / "cut.sqlite", "cma_es", 11, pool=interrupted)
    worker = RacingWorker(rules("cma_es", delta=1e-30))
    run(tmp_path / "cut.sqlite", "cma_es", 11, pool=InProcessPool(lambda: worker)).close()
    assert worker.answered <= 3 * 20 + 4 * 40 + 2 * 60


def test_completion_order_changes_nothing(tmp_path: Path) -> None:
    run(tmp_path / "one.sqlite", "nsga2").close()
    pool = SeveralWorkers(lambda: RacingWorker(rules("nsga2", delta=1e-30)), 4)
    run(tmp_path / "four.sqlite", "nsga2", pool=pool).close()
    assert contents(tmp_path / "four.sqlite") == contents(tmp_path / "one.sqlite")


def test_where_everybody_is_kept_everybody_goes_on(tmp_path: Path) -> None:
    archive = run(tmp_path / "a.sqlite", "cma_es", 19, keep=1.0)
    reasons = {r.estimate.stopped.reason for r in archive.records() if r.estimate and r.estimate.stopped}
    assert "rung" not in reasons
