"""Verdicts on items that models answer alike: several questions on a passage, and items that a file holds twice."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import pytest

from evomerge.archive import Archive
from evomerge.campaign.campaign import Campaign
from evomerge.campaign.progress import Limits
from evomerge.candidate import Candidate, Done, Scored
from evomerge.optimisers.random_search import RandomSearch
from evomerge.results.verification.verifier import Verifier
from evomerge.workers.in_process import InProcessPool
from fitness.engine.model.tokenizer import load_tokenizer
from fitness.estimation import MeanEstimator, Objective
from fitness.scores import Budget, ItemScores
from fitness.statistics import PairedComparison
from fitness.tasks.sources import load_tasks, make_suite
from fitness.tasks.suite import TaskSuite
from tests.evomerge.toy import ToySpace
from tests.fitness.conftest import write_jsonl

SHARES = {"search": 0.1, "test": 0.9}
N_TASKS = 5  # each an objective, and a world of its own
# Passages with five questions, models' answers to which have a latent correlation of .3; and items that stand twice.
WORLDS = {"five questions a passage": (5, 0.3), "every item twice": (2, 1.0)}
Interval = tuple[float, float]


class AlikeWorker:
    """Models that are equally good: right where ability on the passage and luck exceed the passage's difficulty."""

    def __init__(self, suite: TaskSuite, alike: float, run: int) -> None:
        number = {group: i for i, group in enumerate(dict.fromkeys(suite.group_of.values()))}
        self.place = {item: number[group] for item, group in suite.group_of.items()}
        self.suite, self.alike, self.run = suite, alike, run

    def evaluate(self, candidate: Candidate, budget: Budget) -> Done:
        items = self.suite.splits.select(budget)
        passage, n = np.array([self.place[item] for item in items]), len(self.place)
        hard = np.random.default_rng([self.run, 10_000]).normal(size=n)  # not the stream of candidate 0
        rng = np.random.default_rng([self.run, candidate.number])
        ability, luck = rng.normal(size=n), rng.normal(size=len(items))
        right = self.alike**0.5 * ability[passage] + (1 - self.alike) ** 0.5 * luck > hard[passage]
        return Scored(candidate, ItemScores(items, right.astype(float)), 0.0)


def lines_of(task: str, per_passage: int, *, named: bool) -> list[dict[str, object]]:
    """45 passages with their questions, or 50 questions that stand as often."""
    if not named:
        return [
            {"question": f"{task} {i}?", "gold": i % 2, "choices": ["a", "b"]}
            for i in range(50)
            for _ in range(per_passage)
        ]
    return [
        {"question": f"{task} {i} {j}?", "gold": j % 2, "choices": ["a", "b"], "group": f"{task} {i}"}
        for i in range(45)
        for j in range(per_passage)
    ]


def verified(directory: Path, suite: TaskSuite, alike: float, run: int) -> list[tuple[Interval, Interval]]:
    """Verify a search; of each objective the winner's difference to a parent, and what it were of items alone."""
    objectives = tuple(Objective(task, (task,)) for task in dict.fromkeys(suite.task_of.values()))
    estimator = MeanEstimator(objectives, task_of=suite.task_of, splits=suite.splits)
    pool = InProcessPool(lambda: AlikeWorker(suite, alike, run))
    with contextlib.closing(Archive.create(directory / f"{run}.sqlite", "")) as archive:
        search = RandomSearch(2, seed=run)
        Campaign(archive, ToySpace(), search, estimator=estimator, pool=pool, limits=Limits(4)).run()
        comparison = PairedComparison(objectives, suite.task_of, suite.group_of)
        found = Verifier(archive, pool, estimator, comparison).verify(1, validation=False)
        of_test = [archive.scores(number, "test") for number in (found.winner, found.rows[0].candidate)]
    assert found.n_groups == len({suite.group_of[item] for item in suite.splits.items["test"]})
    (known,) = (c.objectives for c in found.winners[0].comparisons if c.name == found.rows[0].name)
    alone = PairedComparison(objectives, suite.task_of).of_objectives(*of_test)
    return [((one.low, one.high), (other.low, other.high)) for one, other in zip(known, alone, strict=True)]


@pytest.mark.parametrize("runs", [32, pytest.param(400, marks=pytest.mark.slow)])
@pytest.mark.parametrize("world", WORLDS)
def test_intervals_on_items_that_come_together_cover_the_truth_and_would_not_without(world, runs, tmp_path, family):
    """The truth is that all models are equally good; what is asked is 93 % of cases."""
    per_passage, alike = WORLDS[world]
    for task in range(N_TASKS):
        write_jsonl(tmp_path / f"{task}.jsonl", lines_of(str(task), per_passage, named=alike < 1.0))
    loaded = load_tasks([str(tmp_path / f"{task}.jsonl") for task in range(N_TASKS)])
    tasks = [task for of_file in loaded.values() for task in of_file]
    suite = make_suite(tasks, tokenizer=load_tokenizer(family.base), shares=SHARES, seed=0)
    ends = np.array([of_objective for run in range(runs) for of_objective in verified(tmp_path, suite, alike, run)])
    covered, uncovered = ((ends[..., 0] <= 0) & (ends[..., 1] >= 0)).mean(axis=0)
    print(f"{world}: {covered:.3f} of {len(ends)} covered, {uncovered:.3f} without groups")
    assert covered >= 0.93 - 2 * (0.93 * 0.07 / len(ends)) ** 0.5
    assert uncovered < covered
