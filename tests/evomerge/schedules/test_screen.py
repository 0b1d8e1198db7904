"""A label-free rung before the first: who agrees least with the experts answers no item, and is ranked last."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from evomerge.archive import Archive
from evomerge.candidate import Candidate, Done, Failure, Scored
from evomerge.results.front import read_front
from evomerge.schedules.all_items import AllItems
from evomerge.schedules.halving import Halving
from evomerge.schedules.protocol import Schedule
from evomerge.schedules.screen import Screen
from evomerge.workers.in_process import InProcessPool
from fitness.scores import Budget, ItemScores
from tests.evomerge.campaign.test_campaign import Interrupting
from tests.evomerge.killing import contents
from tests.evomerge.several_workers import SeveralWorkers
from tests.evomerge.toy_schedules import (
    BUDGET,
    CountingWorker,
    accuracies,
    ingredients,
    run_schedule,
    weights_of,
)

SCREEN = Budget("search", ("screen:sums/1", "screen:words/1"))
LANDMARKS, POPULATION = 3, 8


def distance(candidate: Candidate) -> float:
    return 0.9 - float(np.mean(list(accuracies(*weights_of(candidate)).values())))


@dataclass
class ToyScreeningWorker:
    """Screens by the distance from the optimum; after the screen some fail on purpose."""

    scoring: CountingWorker = field(default_factory=CountingWorker)
    fails: frozenset[int] = frozenset()
    fails_first: int = 0
    screened: list[int] = field(default_factory=list)

    def evaluate(self, candidate: Candidate, budget: Budget) -> Done:
        if budget == SCREEN:
            self.screened.append(candidate.number)
            return Scored(candidate, ItemScores(SCREEN.items or (), np.full(2, -distance(candidate))), 0.125)
        self.fails_first -= 1
        if candidate.number in self.fails or self.fails_first >= 0:
            return Failure(candidate, "evaluate", "on purpose")
        return self.scoring.evaluate(candidate, budget)

    def evaluate_together(self, candidates: list[Candidate], budget: Budget) -> list[Done]:
        return [self.evaluate(candidate, budget) for candidate in candidates]


def divergence(scores: ItemScores) -> float:
    return -float(scores.values.mean())


def run(path: Path, name: str = "cma_es", evaluations: int = 35, *, pool=None, keep=0.5, rungs=()) -> Archive:
    def schedule(archive: Archive, name: str) -> Schedule:
        then = Halving(ingredients(archive, name), (*rungs, 120)) if rungs else AllItems(BUDGET)
        return Screen(archive, SCREEN, divergence, keep=keep, then=then)

    return run_schedule(path, name, evaluations, schedule, pool=pool or InProcessPool(ToyScreeningWorker))


def generations(archive: Archive) -> list[range]:
    return [range(start, start + POPULATION) for start in range(LANDMARKS, archive.n_candidates, POPULATION)]


def test_of_each_generation_those_that_agree_least_answer_nothing_and_rank_last(tmp_path: Path) -> None:
    archive = run(tmp_path / "a.sqlite", rungs=(20,))
    told = {r.number: r.estimate for r in archive.records() if r.estimate is not None}
    assert len(told) == 35
    for members in generations(archive):
        aside = {n for n in members if (stop := told[n].stopped) is not None and stop.reason == "screen"}
        assert len(aside) == POPULATION // 2
        near = [distance(archive.candidate(n)) for n in members if n not in aside]
        far = [distance(archive.candidate(n)) for n in aside]
        assert max(near) <= min(far)
        others = [stop.shortfall for n in members if n not in aside and (stop := told[n].stopped) is not None]
        shortfalls = {n: told[n].stopped.shortfall for n in aside}
        assert min(shortfalls.values()) > max(others, default=0.0)
        assert sorted(aside, key=shortfalls.__getitem__) == sorted(aside, key=lambda n: distance(archive.candidate(n)))


def test_who_is_set_aside_is_told_last_with_the_values_of_the_worst_that_was_not(tmp_path: Path) -> None:
    archive = run(tmp_path / "a.sqlite")
    order = [r.number for r in archive.records()]
    told = {r.number: r.estimate for r in archive.records() if r.estimate is not None}
    for members in generations(archive):
        aside = [n for n in members if (stop := told[n].stopped) is not None and stop.reason == "screen"]
        assert order[: members.stop][-len(aside) :] == aside
        worst = min(told[n].mean for n in members if n not in aside)
        assert {told[n].mean for n in aside} == {worst}
        assert {told[n].in_words for n in aside} == {"stopped after 0 items"}
        assert {len(archive.scores(n, "search").item_ids) for n in aside} == {0}
    assert all(point.estimate.stopped is None for point in read_front(archive).points)


def test_the_archive_keeps_every_divergence_apart_from_the_scores(tmp_path: Path) -> None:
    archive = run(tmp_path / "a.sqlite")
    screened = archive.screened()
    assert sorted(screened) == list(range(LANDMARKS, 35))
    for number, record in screened.items():
        assert record.scores is not None
        assert divergence(record.scores) == pytest.approx(distance(archive.candidate(number)), abs=1e-6)
    items = {item for _, answered in archive.answered("search") for item in answered}
    assert not items & set(SCREEN.items or ())


def test_fewer_items_are_answered_and_the_winner_is_as_good(tmp_path: Path) -> None:
    worker = ToyScreeningWorker()
    archive = run(tmp_path / "a.sqlite", evaluations=67, pool=InProcessPool(lambda: worker))
    assert worker.scoring.answered <= (LANDMARKS + 8 * POPULATION // 2) * 120
    winner = max(read_front(archive).points, key=lambda point: point.estimate.mean)
    assert distance(winner.candidate) < 0.15


@pytest.mark.parametrize(("name", "rungs"), [("cma_es", (20, 60)), ("nsga2", ())])
@pytest.mark.parametrize("after", [2, 7, 11, 13, 17, 22, 29])
def test_interrupted_anywhere_it_resumes_to_the_same_archive(
    tmp_path: Path, name: str, rungs: tuple[int, ...], after: int
) -> None:
    run(tmp_path / "whole.sqlite", name, 27, rungs=rungs).close()
    interrupted = Interrupting(InProcessPool(ToyScreeningWorker), after)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut.sqlite", name, 27, pool=interrupted, rungs=rungs)
    worker = ToyScreeningWorker()
    run(tmp_path / "cut.sqlite", name, 27, pool=InProcessPool(lambda: worker), rungs=rungs).close()
    assert contents(tmp_path / "cut.sqlite") == contents(tmp_path / "whole.sqlite")
    assert seconds(tmp_path / "cut.sqlite") == seconds(tmp_path / "whole.sqlite")
    assert len(worker.screened) + min(after, 8) <= 27 - LANDMARKS + 8


def seconds(path: Path) -> list[tuple[int, float]]:
    return sorted((record.number, record.seconds) for record in Archive.read(path).records())


def test_completion_order_changes_nothing(tmp_path: Path) -> None:
    run(tmp_path / "one.sqlite", "nsga2", 27, rungs=(20,)).close()
    run(tmp_path / "four.sqlite", "nsga2", 27, rungs=(20,), pool=SeveralWorkers(ToyScreeningWorker, 4)).close()
    one, four = (contents(tmp_path / f"{name}.sqlite") for name in ("one", "four"))
    assert four == one


def test_seconds_count_the_screen_once(tmp_path: Path) -> None:
    archive = run(tmp_path / "a.sqlite", rungs=(20,))
    for record in archive.records():
        assert record.estimate is not None
        n_items = 120 if record.estimate.stopped is None else record.estimate.stopped.n_items
        n_parts = sum(n_items > rung for rung in (0, 20))
        expected = 0.25 if record.number < LANDMARKS else 0.125 + 0.25 * n_parts
        assert record.seconds == pytest.approx(expected)


def test_where_nothing_could_be_scored_so_far_those_aside_go_on_after_all(tmp_path: Path) -> None:
    worker = ToyScreeningWorker(fails_first=LANDMARKS + 1)
    archive = run(tmp_path / "a.sqlite", evaluations=11, keep=0.01, pool=InProcessPool(lambda: worker))
    told = [r.estimate for r in archive.records()]
    assert [estimate is None for estimate in told] == [True] * 4 + [False] * 7
    assert all(estimate is None or estimate.stopped is None for estimate in told)


def test_where_all_others_fail_those_aside_are_told_as_the_worst_landmark_and_the_search_goes_on(
    tmp_path: Path,
) -> None:
    first = frozenset(range(LANDMARKS, LANDMARKS + POPULATION))
    pool = InProcessPool(lambda: ToyScreeningWorker(fails=first))
    archive = run(tmp_path / "a.sqlite", evaluations=19, pool=pool)
    told = {r.number: r.estimate for r in archive.records()}
    assert len(told) == 19
    values = {told[n].mean for n in first if told[n] is not None}
    assert values == {min(told[n].mean for n in range(LANDMARKS))}
    assert sum(told[n] is None for n in first) == POPULATION // 2
