import dataclasses
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from evomerge.archive import Archive
from evomerge.campaign import Campaign, CampaignError
from evomerge.campaign.events import CandidateTold, Event
from evomerge.campaign.past import ScoreCache
from evomerge.campaign.progress import Limits
from evomerge.candidate import Candidate, Done, Evaluation, Outcome, Scored
from evomerge.optimisers.random_search import RandomSearch
from evomerge.schedules.all_items import AllItems
from evomerge.workers.in_process import InProcessPool
from evomerge.workers.protocol import WorkerPool
from fitness.scores import Budget, ItemScores
from tests.evomerge.killing import contents, killed_and_resumed_equals_whole
from tests.evomerge.toy import ITEMS, ToyEstimator, ToySpace, ToyWorker, weights_recipe
from tests.evomerge.toy_run import MORE_OPTIMISERS, OPTIMISERS, campaign, run_toy


class Interrupting:
    """A pool that stops the campaign after some candidates, as Ctrl-C does."""

    def __init__(self, pool: InProcessPool, after: int) -> None:
        self.pool, self.after = pool, after

    @property
    def free(self) -> int:
        return self.pool.free

    @property
    def workers(self) -> int:
        return self.pool.workers

    def submit(self, candidate: Candidate, budget: Budget) -> None:
        self.pool.submit(candidate, budget)

    def wait(self) -> list[Done]:
        if self.after == 0:
            raise KeyboardInterrupt
        self.after -= 1
        return self.pool.wait()

    def close(self) -> None:
        self.pool.close()


@pytest.mark.parametrize("name", OPTIMISERS)
def test_landmarks_come_first_and_the_budget_counts_every_candidate(tmp_path: Path, name: str) -> None:
    assert run_toy(tmp_path / "a.sqlite", name, 30) == "evaluations"
    archive = Archive.read(tmp_path / "a.sqlite")
    assert [c.label for c in archive.landmarks()] == ["alpha", "beta", "uniform mean"]
    assert [r.number for r in archive.records()] == list(range(30))


@pytest.mark.parametrize("name", OPTIMISERS)
@pytest.mark.parametrize("after", [0, 2, 3, 17])
def test_an_interrupted_campaign_resumes_to_the_same_archive(tmp_path: Path, name: str, after: int) -> None:
    run_toy(tmp_path / "whole.sqlite", name, 40)
    with pytest.raises(KeyboardInterrupt):
        run_toy(tmp_path / "resumed.sqlite", name, 40, pool=Interrupting(InProcessPool(ToyWorker), after))
    run_toy(tmp_path / "resumed.sqlite", name, 40)
    assert contents(tmp_path / "resumed.sqlite") == contents(tmp_path / "whole.sqlite")


@pytest.mark.parametrize("name", OPTIMISERS)
@pytest.mark.parametrize("after", [0, 1, 4])
def test_an_interrupted_campaign_of_candidates_scored_together_resumes_to_the_same_archive(
    tmp_path: Path, name: str, after: int
) -> None:
    def pool() -> InProcessPool:
        return InProcessPool(ToyWorker, together=4)

    run_toy(tmp_path / "whole.sqlite", name, 40, pool=pool())
    with pytest.raises(KeyboardInterrupt):
        run_toy(tmp_path / "resumed.sqlite", name, 40, pool=Interrupting(pool(), after))
    run_toy(tmp_path / "resumed.sqlite", name, 40, pool=pool())
    assert contents(tmp_path / "resumed.sqlite") == contents(tmp_path / "whole.sqlite")


def test_candidates_scored_together_count_with_the_seconds_that_each_has(tmp_path: Path) -> None:
    run_toy(tmp_path / "a.sqlite", "nsga2", 12, pool=InProcessPool(ToyWorker, together=4))
    seconds: list[float] = []
    run_toy(
        tmp_path / "a.sqlite",
        "nsga2",
        13,
        pool=InProcessPool(ToyWorker, together=4),
        callbacks=[lambda event: isinstance(event, CandidateTold) and seconds.append(event.progress.seconds)],
    )
    assert seconds[0] == pytest.approx(12 * 0.25, abs=0.2)  # what the toy says that each took


@pytest.mark.parametrize("name", OPTIMISERS)
def test_a_larger_budget_continues_as_if_it_had_been_larger_from_the_start(tmp_path: Path, name: str) -> None:
    run_toy(tmp_path / "whole.sqlite", name, 40)
    run_toy(tmp_path / "extended.sqlite", name, 21)
    run_toy(tmp_path / "extended.sqlite", name, 40)
    assert contents(tmp_path / "extended.sqlite") == contents(tmp_path / "whole.sqlite")


def test_a_finished_campaign_scores_nothing_again(tmp_path: Path) -> None:
    run_toy(tmp_path / "a.sqlite", "nsga2", 12)
    worker = ToyWorker()
    assert run_toy(tmp_path / "a.sqlite", "nsga2", 12, pool=InProcessPool(lambda: worker)) == "evaluations"
    assert worker.seen == []


def test_drain_finishes_what_runs_and_submits_nothing_more(tmp_path: Path) -> None:
    archive = Archive.create(tmp_path / "a.sqlite", "")
    steps: list[int] = []

    def watch(event: Event) -> None:
        if isinstance(event, CandidateTold):
            steps.append(event.progress.done)
            if event.progress.done == 5:
                search.drain()

    search = campaign(archive, RandomSearch(2, seed=0), InProcessPool(ToyWorker), 30, callbacks=[watch])
    assert search.run() == "interrupted"
    assert steps == [1, 2, 3, 4, 5]


def test_failed_candidates_are_recorded_and_the_search_goes_on(tmp_path: Path) -> None:
    pool = InProcessPool(lambda: ToyWorker(fail_below=0.3))
    assert run_toy(tmp_path / "a.sqlite", "nsga2", 40, pool=pool) == "evaluations"
    records = Archive.read(tmp_path / "a.sqlite").records()
    failed = [r for r in records if r.estimate is None]
    assert 0 < len(failed) < 20
    assert all(r.stage == "evaluate" and "too small" in str(r.reason) for r in failed)


def test_five_failures_in_a_row_stop_the_search_with_everything_saved(tmp_path: Path) -> None:
    pool = InProcessPool(lambda: ToyWorker(fail_below=2.0))
    with pytest.raises(CampaignError, match=r"5 different candidates failed in a row; .*too small.*saved"):
        run_toy(tmp_path / "a.sqlite", "random", 40, pool=pool)
    assert len(Archive.read(tmp_path / "a.sqlite").records()) == 5
    run_toy(tmp_path / "a.sqlite", "random", 12)
    assert [r.number for r in Archive.read(tmp_path / "a.sqlite").records()] == list(range(12))


def test_an_optimiser_that_proposes_another_past_is_refused(tmp_path: Path) -> None:
    run_toy(tmp_path / "a.sqlite", "random", 10)
    archive = Archive.open(tmp_path / "a.sqlite")
    search = campaign(archive, RandomSearch(2, seed=99), InProcessPool(ToyWorker), 20)
    with pytest.raises(CampaignError, match="proposes other genomes than the archive records for candidate 3"):
        search.run()


def test_the_hours_of_a_budget_end_a_search(tmp_path: Path) -> None:
    archive = Archive.create(tmp_path / "a.sqlite", "")
    pool = InProcessPool(lambda: ToyWorker(pause=0.02))
    search = Campaign(
        archive,
        ToySpace(),
        RandomSearch(2, seed=0),
        estimator=ToyEstimator(),
        pool=pool,
        limits=Limits(10_000, 0.2 / 3600),
    )
    assert search.run() == "hours"
    assert 0 < len(archive.records()) < 10_000


def test_scores_of_test_items_never_become_an_evaluation(tmp_path: Path) -> None:
    class Leaking(ToyEstimator):
        def estimate(self, scores: ItemScores, *, shares=None):
            return dataclasses.replace(super().estimate(scores), split="test")

    archive = Archive.create(tmp_path / "a.sqlite", "")
    parts = {"estimator": Leaking(), "pool": InProcessPool(ToyWorker), "limits": Limits(30)}
    search = Campaign(archive, ToySpace(), RandomSearch(2, seed=0), **parts)
    with pytest.raises(CampaignError, match="expected items of 'search' only, found 'test'"):
        search.run()
    assert all(r.estimate is None and r.stage == "estimate" for r in archive.records())


def test_progress_tells_done_failures_and_the_best(tmp_path: Path) -> None:
    archive = Archive.create(tmp_path / "a.sqlite", "")
    seen: list[tuple[int, int, float]] = []

    def watch(event: Event) -> None:
        if not isinstance(event, CandidateTold):
            return
        p = event.progress
        assert p.best is not None
        seen.append((p.done, p.total, sum(o.value for o in p.best.estimate.objectives)))

    campaign(archive, RandomSearch(2, seed=0), InProcessPool(ToyWorker), 20, callbacks=[watch]).run()
    assert [s[0] for s in seen] == list(range(1, 21))
    assert np.all(np.diff([s[2] for s in seen]) >= 0)
    assert seen[-1][:2] == (20, 20)


@pytest.mark.parametrize("name", OPTIMISERS)
def test_sigkill_at_a_random_moment_loses_nothing(tmp_path: Path, name: str) -> None:
    killed_and_resumed_equals_whole(tmp_path, name, seed=0)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 4))
@pytest.mark.parametrize("name", OPTIMISERS)
def test_sigkill_at_more_random_moments_loses_nothing(tmp_path: Path, name: str, seed: int) -> None:
    killed_and_resumed_equals_whole(tmp_path, name, seed)


@pytest.mark.slow
@pytest.mark.parametrize("name", MORE_OPTIMISERS)
def test_sigkill_loses_nothing_of_other_optimisers(tmp_path: Path, name: str) -> None:
    killed_and_resumed_equals_whole(tmp_path, name, seed=0)


@pytest.mark.parametrize("name", MORE_OPTIMISERS)
def test_other_optimisers_resume_to_the_same_archive(tmp_path: Path, name: str) -> None:
    run_toy(tmp_path / "whole.sqlite", name, 30)
    with pytest.raises(KeyboardInterrupt):
        run_toy(tmp_path / "resumed.sqlite", name, 30, pool=Interrupting(InProcessPool(ToyWorker), 19))
    run_toy(tmp_path / "resumed.sqlite", name, 30)
    assert contents(tmp_path / "resumed.sqlite") == contents(tmp_path / "whole.sqlite")


class Repeating:
    """An optimiser that proposes two genomes over and over, the first of them the uniform mean."""

    def __init__(self) -> None:
        self.asked, self.told = 0, []

    def ask(self, n: int) -> list[np.ndarray]:
        first, self.asked = self.asked, self.asked + n
        return [np.array([[0.5, 0.5], [0.2, 0.9]][i % 2]) for i in range(first, self.asked)]

    def tell(self, outcomes: Sequence[Outcome]) -> None:
        self.told.extend(outcomes)


def test_a_recipe_that_was_scored_already_is_told_again_and_not_scored_again(tmp_path: Path) -> None:
    archive = Archive.create(tmp_path / "a.sqlite", "")
    worker, optimiser = ToyWorker(), Repeating()
    assert campaign(archive, optimiser, InProcessPool(lambda: worker), 12).run() == "evaluations"
    assert worker.seen == [0, 1, 2, 4]  # the landmarks, of which the mean is proposed again, and the other genome
    records = archive.records()
    assert [record.number for record in records] == list(range(12))
    for record in records[3:]:
        scored = 2 if record.number % 2 else 4
        assert archive.scores(record.number, "search") == archive.scores(scored, "search")
        assert record.estimate == records[scored].estimate
    assert [outcome.candidate.proposal for outcome in optimiser.told] == list(range(9))


def test_a_recipe_that_failed_is_tried_again(tmp_path: Path) -> None:
    worker = ToyWorker(fail_below=0.3)
    campaign(Archive.create(tmp_path / "a.sqlite", ""), Repeating(), InProcessPool(lambda: worker), 9).run()
    assert worker.seen == [0, 1, 2, 4, 6, 8]


def test_what_is_told_again_is_of_the_items_of_every_candidate_where_more_are_known(tmp_path: Path) -> None:
    archive = Archive.create(tmp_path / "a.sqlite", "")
    few = Budget("search", ITEMS[:8])
    campaign(archive, Repeating(), InProcessPool(ToyWorker), 4, schedule=AllItems(few)).run()
    mean = archive.candidate(2)
    whole = ToyWorker().evaluate(mean, Budget("search"))
    archive.told([(whole, ToyEstimator().estimate(whole.scores))], kind="rescored")
    cache = ScoreCache(archive)
    estimate = ToyEstimator().estimate(whole.scores)
    cache.remember(Evaluation(mean, estimate, whole.scores))
    again = Candidate(9, mean.recipe)
    assert cache.recall(again, few) == Scored(again, ItemScores(few.items, whole.scores.values[:8]), 0.0)
    assert cache.recall(again, Budget("search", ("sums/99",))) is None
    assert cache.recall(Candidate(9, weights_recipe(0.1, 0.1)), few) is None


@pytest.mark.parametrize("after", [0, 2, 3])
def test_an_interrupted_search_that_repeats_itself_resumes_to_the_same_archive(tmp_path: Path, after: int) -> None:
    def run(path: Path, pool: WorkerPool) -> None:
        with closing(Archive.open(path) if path.exists() else Archive.create(path, "")) as archive:
            campaign(archive, Repeating(), pool, 12).run()

    run(tmp_path / "whole.sqlite", InProcessPool(ToyWorker))
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "resumed.sqlite", Interrupting(InProcessPool(ToyWorker), after))
    run(tmp_path / "resumed.sqlite", InProcessPool(ToyWorker))
    assert contents(tmp_path / "resumed.sqlite") == contents(tmp_path / "whole.sqlite")
