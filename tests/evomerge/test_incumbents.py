"""Workers that would be idle score the front on further items, and the search does not notice."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from evomerge.archive import Archive
from evomerge.campaign.incumbents import blocks
from evomerge.campaign.loop import Campaign
from evomerge.campaign.progress import Limits, Utilisation
from evomerge.candidate import Candidate, Done, Failure
from evomerge.config import CampaignConfig
from evomerge.config.changes import past_changing
from evomerge.front import front_as_json, read_front
from evomerge.optimisers.cma_es import CmaEs
from evomerge.optimisers.pymoo_adapter import PymooOptimiser
from evomerge.report.contents import read_contents
from evomerge.terminal import front_table
from evomerge.workers.in_process import InProcessPool
from fitness.scores import Budget
from tests.evomerge.killing import contents
from tests.evomerge.several_workers import SeveralWorkers
from tests.evomerge.test_config_errors import GOOD, refused_text
from tests.evomerge.toy import ITEMS, ToyEstimator, ToySpace, ToyWorker

FIRST = ITEMS[:8]
FURTHER = blocks(FIRST, ITEMS[8:])
OPTIMISERS = {
    "nsga2": lambda: PymooOptimiser(2, n_objectives=2, seed=3, population=6),
    "cma_es": lambda: CmaEs(2, weights={"sums": 1.0, "words": 1.0}, seed=3, population=6),
}


def run(path: Path, name: str, pool, evaluations: int = 45, further=FURTHER) -> Archive:
    archive = Archive.open(path) if path.exists() else Archive.create(path, "name: toy\n")
    Campaign(
        archive,
        ToySpace(),
        OPTIMISERS[name](),
        estimator=ToyEstimator(),
        pool=pool,
        limits=Limits(evaluations),
        budget=Budget("search", FIRST),
        further=further,
    ).run()
    return archive


def candidates(archive: Archive) -> list[tuple[int, str]]:
    return [(n, archive.candidate(n).recipe.digest) for n in range(archive.n_candidates)]


def test_blocks_are_a_quarter_of_a_candidates_items() -> None:
    assert [b.items for b in blocks(ITEMS[:8], ITEMS[8:13])] == [ITEMS[8:10], ITEMS[10:12], ITEMS[12:13]]
    assert [b.items for b in blocks(ITEMS[:2], ITEMS[2:4])] == [ITEMS[2:3], ITEMS[3:4]]
    assert blocks(ITEMS, ()) == ()


@pytest.mark.parametrize("name", OPTIMISERS)
def test_the_search_is_the_same_with_idle_workers_filled_or_not(tmp_path: Path, name: str) -> None:
    filled = run(tmp_path / "a.sqlite", name, SeveralWorkers(ToyWorker, 4))
    plain = run(tmp_path / "b.sqlite", name, SeveralWorkers(ToyWorker, 4), further=())
    alone = run(tmp_path / "c.sqlite", name, InProcessPool(ToyWorker))
    assert candidates(filled) == candidates(plain) == candidates(alone)
    told = [sorted((r.number, r.estimate) for r in archive.records()) for archive in (filled, plain, alone)]
    assert told[0] == told[1] == told[2]
    assert filled.rescored()
    assert not plain.rescored()
    assert not alone.rescored()


def test_only_candidates_of_the_front_are_scored_further_and_each_block_once(tmp_path: Path) -> None:
    pool = SeveralWorkers(ToyWorker, 4)
    archive = run(tmp_path / "a.sqlite", "nsga2", pool)
    scored = [(c.number, budget.items) for what, c, budget in pool.log if what == "submit" and budget.items != FIRST]
    assert Counter(scored).most_common(1)[0][1] == 1
    assert {items for _, items in scored} <= {block.items for block in FURTHER}
    # Every one of them was on the front of what was known when it was submitted.
    known: dict[int, list[float]] = {}
    values = {r.number: [o.value for o in r.estimate.objectives] for r in archive.records() if r.estimate is not None}
    for what, candidate, budget in pool.log:
        if budget.items == FIRST:
            if what == "done":
                known[candidate.number] = values[candidate.number]
        elif what == "submit":
            mine = known[candidate.number]
            assert not any(a >= mine[0] and b >= mine[1] and [a, b] != mine for a, b in known.values())


def test_the_front_shows_the_larger_estimate_and_its_items(tmp_path: Path) -> None:
    archive = run(tmp_path / "a.sqlite", "nsga2", SeveralWorkers(ToyWorker, 4))
    larger = archive.rescored()
    points = {p.candidate.number: p.estimate for p in read_front(archive).points}
    assert set(points) & set(larger)
    for number in set(points) & set(larger):
        assert points[number] == larger[number]
        scores = archive.scores(number, "search")
        assert scores is not None
        assert scores.item_ids[:8] == FIRST
        assert ToyEstimator().estimate(scores) == larger[number]
        assert sum(o.n_items for o in larger[number].objectives) == len(scores.item_ids) > 8
        row = read_contents(archive).scored.index(number)
        assert read_contents(archive).scored.values[row].tolist() == [o.value for o in larger[number].objectives]
    items = [point["objectives"]["sums"]["items"] for point in front_as_json(archive, "toy")["front"]]
    assert max(items) > 4
    cells = list(front_table(read_front(archive)).columns[4].cells)
    assert cells == [f"{n} items" for n in items]


def test_resumed_the_search_and_its_larger_estimates_are_still_there(tmp_path: Path) -> None:
    whole = run(tmp_path / "whole.sqlite", "nsga2", SeveralWorkers(ToyWorker, 4))
    run(tmp_path / "cut.sqlite", "nsga2", SeveralWorkers(ToyWorker, 4), evaluations=23).close()
    before = Archive.read(tmp_path / "cut.sqlite").rescored()
    pool = SeveralWorkers(ToyWorker, 4)
    cut = run(tmp_path / "cut.sqlite", "nsga2", pool)
    assert candidates(cut) == candidates(whole)
    assert before.keys() <= cut.rescored().keys()
    again = [(c.number, b.items) for what, c, b in pool.log if what == "submit" and b.items != FIRST]
    for number, items in again:  # nothing that the first session had scored is scored once more
        had = sum(o.n_items for o in before[number].objectives) if number in before else 8
        assert (items or ())[0] in ITEMS[had:]


def test_a_failure_on_further_items_leaves_the_estimate_as_it_is(tmp_path: Path) -> None:
    class Failing(ToyWorker):
        def evaluate(self, candidate: Candidate, budget: Budget) -> Done:
            if budget.items != FIRST:
                return Failure(candidate, "evaluate", "out of memory")
            return super().evaluate(candidate, budget)

    archive = run(tmp_path / "a.sqlite", "nsga2", SeveralWorkers(Failing, 4))
    assert len(archive.records()) == 45
    assert all(r.estimate is not None for r in archive.records())
    assert archive.rescored() == {}


def test_a_kill_between_blocks_loses_nothing_of_the_search(tmp_path: Path) -> None:
    class Stopping(SeveralWorkers):
        def wait(self) -> list[Done]:
            if len(self.log) > 60:
                raise KeyboardInterrupt
            return super().wait()

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut.sqlite", "nsga2", Stopping(ToyWorker, 4))
    run(tmp_path / "cut.sqlite", "nsga2", SeveralWorkers(ToyWorker, 4)).close()
    run(tmp_path / "whole.sqlite", "nsga2", SeveralWorkers(ToyWorker, 4)).close()
    asked, records, *_ = contents(tmp_path / "cut.sqlite")
    whole_asked, whole_records, *_ = contents(tmp_path / "whole.sqlite")
    assert asked == whole_asked
    assert records == whole_records


def test_utilisation_counts_worker_seconds() -> None:
    used = Utilisation()
    assert used.share is None
    used.add(10.0, running=4, workers=4)
    assert used.share == 1.0
    used.add(10.0, running=1, workers=4)
    assert used.share == pytest.approx(50 / 80)
    used.add(20.0, running=16, workers=1)  # one worker that scores sixteen together
    assert used.share == pytest.approx(70 / 100)


def test_filling_raises_the_utilisation(tmp_path: Path) -> None:
    """In generations of six, four workers are idle near the end of each."""

    def waiting_with_idle_workers(pool: SeveralWorkers) -> int:
        running, idle = 0, 0
        for what, *_ in pool.log:
            idle += what == "done" and running < pool.count
            running += 1 if what == "submit" else -1
        return idle

    idle = []
    for further in (FURTHER, ()):
        pool = SeveralWorkers(ToyWorker, 4)
        run(tmp_path / f"{len(further)}.sqlite", "nsga2", pool, further=further)
        idle.append(waiting_with_idle_workers(pool))
    assert idle[0] < idle[1] / 2, idle


def test_the_number_of_items_is_a_key_of_the_budget_that_a_resumed_campaign_keeps(tmp_path: Path) -> None:
    data = {"base": "hub/base", "parents": ["hub/a", "hub/b"], "objectives": [{"name": "x", "tasks": ["t"]}]}
    small, large = (CampaignConfig.model_validate({**data, "budget": {"items": n}}) for n in (40, 80))
    assert [str(change) for change in past_changing(small, large)] == ["budget.items: 40 -> 80"]
    text = GOOD.replace("budget: {evaluations: 400}", "budget: {items: 0}")
    assert refused_text(tmp_path, text) == "campaign.yaml:14: budget.items: expected a number of at least 1, found 0"


def test_a_campaign_scores_its_candidates_on_so_many_items(evomerge, campaign_file, tmp_path: Path) -> None:
    path = campaign_file(budget={"evaluations": 7, "items": 10})
    out = evomerge("run", path, "--run-dir", tmp_path / "run")
    assert out.code == 0, out.err
    assert "10 of 40 search items" in out.out
    assert "% busy" in out.out
    archive = Archive.read(tmp_path / "run" / "archive.sqlite")
    assert {sum(o.n_items for o in r.estimate.objectives) for r in archive.records() if r.estimate} == {10}
    path = campaign_file(budget={"evaluations": 7, "items": 1})
    none = evomerge("run", path, "--run-dir", tmp_path / "other")
    assert none.code == 1
    assert "budget.items: expected enough for an item of every task, found none of" in none.err
