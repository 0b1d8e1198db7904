"""Halving: after the first items the better part of a generation goes on, and a resumed campaign decides alike."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from evomerge.archive import Archive
from evomerge.candidate import Candidate, Evaluation, Scored
from evomerge.optimisers.map.surrogates.objectives import answered, measured
from evomerge.results.front import read_front
from evomerge.schedules.halving import Halving
from evomerge.workers.in_process import InProcessPool
from fitness.scores import ItemScores
from tests.evomerge.campaign.test_campaign import Interrupting
from tests.evomerge.killing import contents, killed_and_resumed_equals_whole
from tests.evomerge.several_workers import SeveralWorkers
from tests.evomerge.toy import weights_recipe
from tests.evomerge.toy_schedules import DIFFICULTIES, ITEMS, CountingWorker, answers, ingredients, run_schedule


def test_of_each_generation_the_better_half_goes_on_and_of_these_the_better_half(tmp_path: Path) -> None:
    archive = run_schedule(tmp_path / "a.sqlite", "cma_es", 35)
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
            assert stop.reason == "rung"
            # It is behind everybody who went on, on the items that both have answered.
            mine = scores.values.mean()
            further = [s for s in answered.values() if s is not None and len(s.item_ids) > stop.n_items]
            assert all(s.values[: stop.n_items].mean() >= mine - 1e-12 for s in further)


def test_who_comes_further_ranks_higher_and_nobody_stopped_is_on_the_front(tmp_path: Path) -> None:
    for name in ("cma_es", "nsga2"):
        archive = run_schedule(tmp_path / f"{name}.sqlite", name, 35)
        stops = [r.estimate.stopped for r in archive.records() if r.estimate and r.estimate.stopped]
        shortfalls = {n: [s.shortfall for s in stops if s.n_items == n] for n in (20, 60)}
        assert 0 < max(shortfalls[60]) <= 2 < min(shortfalls[20]) <= max(shortfalls[20]) < 3
        assert min(shortfalls[60]) > 1
        assert all(point.estimate.stopped is None for point in read_front(archive).points)


def test_far_fewer_items_are_answered(tmp_path: Path) -> None:
    worker = CountingWorker()
    run_schedule(tmp_path / "a.sqlite", "cma_es", 43, pool=InProcessPool(lambda: worker))
    # Per generation of eight at most 8 * 20 + 4 * 40 + 2 * 60 answers of 8 * 120.
    assert worker.answered <= 3 * 120 + 5 * 440


def test_answers_are_asked_for_once(tmp_path: Path) -> None:
    worker = CountingWorker()
    archive = run_schedule(tmp_path / "a.sqlite", "nsga2", 35, pool=InProcessPool(lambda: worker))
    scores = [archive.scores(n, "search") for n in range(35)]
    assert worker.answered == sum(len(s.item_ids) for s in scores if s is not None)


@pytest.mark.parametrize(
    ("name", "after"),
    [
        *((name, after) for name in ("cma_es", "nsga2") for after in (3, 8, 13, 21, 30)),
        ("map", 9),
        ("map", 26),
        ("m2n2", 12),
        ("m2n2", 26),
    ],
)
def test_interrupted_anywhere_it_resumes_to_the_same_archive(tmp_path: Path, name: str, after: int) -> None:
    run_schedule(tmp_path / "whole.sqlite", name, 27).close()
    interrupted = Interrupting(InProcessPool(CountingWorker), after)
    with pytest.raises(KeyboardInterrupt):
        run_schedule(tmp_path / "cut.sqlite", name, 27, pool=interrupted)
    worker = CountingWorker()
    run_schedule(tmp_path / "cut.sqlite", name, 27, pool=InProcessPool(lambda: worker)).close()
    assert contents(tmp_path / "cut.sqlite") == contents(tmp_path / "whole.sqlite")


def test_what_waited_is_not_asked_again_after_a_kill(tmp_path: Path) -> None:
    interrupted = Interrupting(InProcessPool(CountingWorker), 8)
    with pytest.raises(KeyboardInterrupt):  # three landmarks, and five of eight at the first rung
        run_schedule(tmp_path / "cut.sqlite", "cma_es", 11, pool=interrupted)
    worker = CountingWorker()
    run_schedule(tmp_path / "cut.sqlite", "cma_es", 11, pool=InProcessPool(lambda: worker)).close()
    assert worker.answered <= 3 * 20 + 4 * 40 + 2 * 60


@pytest.mark.parametrize("name", ["nsga2", "m2n2"])
def test_completion_order_changes_nothing(tmp_path: Path, name: str) -> None:
    run_schedule(tmp_path / "one.sqlite", name, 35).close()
    pool = SeveralWorkers(CountingWorker, 4)
    run_schedule(tmp_path / "four.sqlite", name, 35, pool=pool).close()
    assert contents(tmp_path / "four.sqlite") == contents(tmp_path / "one.sqlite")


def test_random_search_waits_for_nobody_and_all_of_its_candidates_are_one_generation(tmp_path: Path) -> None:
    archive = run_schedule(tmp_path / "a.sqlite", "random", 3 + 16)
    n_items = [len(scores.item_ids) for n in range(3, 19) if (scores := archive.scores(n, "search")) is not None]
    assert sorted(n_items) == [20] * 8 + [60] * 4 + [120] * 4


def test_constraints_come_before_means(tmp_path: Path) -> None:
    archive = Archive.create(tmp_path / "a.sqlite", "")
    given = replace(ingredients(archive, "cma_es"), missed=lambda estimate: 1.0 - estimate.objectives[1].value)
    schedule = Halving(given, (20, 120))
    candidates = [Candidate(i, weights_recipe(a, b), None, i) for i, (a, b) in enumerate([(0.8, 0.3), (0.3, 0.8)])]
    archive.asked(candidates, 2)
    assert not schedule.arrived([CountingWorker().evaluate(c, schedule.items(c)) for c in candidates])
    ((stopped,), (going_on,)) = schedule.advance()
    assert (stopped.candidate.number, going_on.number) == (0, 1)  # the second is the better one in words
    assert schedule.items(going_on).items == ITEMS[20:]


def test_an_optimiser_that_learns_from_values_is_told_what_is_expected_on_all_items_where_the_first_are_easy(
    tmp_path: Path,
) -> None:
    archive = Archive.create(tmp_path / "a.sqlite", "")
    easy_first = tuple(item for _, item in sorted(zip(DIFFICULTIES, ITEMS, strict=True)))
    given = replace(ingredients(archive, "map"), items=easy_first)
    schedule = Halving(given, (30, 120), keep=0.1)
    rng = np.random.default_rng(0)
    candidates = [
        Candidate(i, weights_recipe(*rng.random(2).tolist()), *((str(i), None) if i < 6 else (None, i)))
        for i in range(46)
    ]
    archive.asked(candidates[:6], None)
    archive.asked(candidates[6:], 40)
    landmarks = [Scored(c, answers(c, ITEMS), 0.0) for c in candidates[:6]]
    archive.told([(one, given.estimator.estimate(one.scores)) for one in landmarks])
    assert not schedule.arrived([CountingWorker().evaluate(c, schedule.items(c)) for c in candidates[6:]])
    stopped, _ = schedule.advance()
    assert len(stopped) == 36
    truth = np.array([given.estimator.estimate(answers(one.candidate, ITEMS)).mean for one in stopped])
    seen = np.array([given.estimator.estimate(one.scores).mean for one in stopped])
    told = np.array([one.estimate.mean for one in stopped if one.estimate is not None])
    assert (seen - truth).mean() > 0.2
    assert abs((told - truth).mean()) < 0.06
    stderrs = [given.estimator.estimate(one.scores).mean_stderr for one in stopped]
    assert [one.estimate.mean_stderr for one in stopped if one.estimate is not None] == stderrs  # no surer
    archive.close()


def test_map_halves_its_rounds_and_takes_nobody_stopped_for_one_who_misses_a_constraint(tmp_path: Path) -> None:
    archive = run_schedule(tmp_path / "a.sqlite", "map", 43)
    evaluations = [
        Evaluation(archive.candidate(r.number), r.estimate, ItemScores((), np.empty(0)), stop.shortfall)
        for r in archive.records()
        if r.estimate is not None and (stop := r.estimate.stopped) is not None
    ]
    assert len(evaluations) >= 25
    assert measured(evaluations).violations.max() == 0.0
    missing = replace(evaluations[0], violation=evaluations[0].violation + 0.25)
    assert measured([missing]).violations == pytest.approx([0.25])
    objectives = tuple(replace(o, n_items=0) for o in evaluations[0].estimate.objectives)
    assert not answered(replace(evaluations[0], estimate=replace(evaluations[0].estimate, objectives=objectives)))
    archive.close()


@pytest.mark.parametrize("name", ["cma_es", "nsga2", "map", "m2n2"])
def test_sigkill_at_a_random_moment_loses_nothing(tmp_path: Path, name: str) -> None:
    killed_and_resumed_equals_whole(tmp_path, f"halved {name}", seed=1)
