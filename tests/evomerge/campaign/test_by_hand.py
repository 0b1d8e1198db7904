"""The loop by hand, and who watches it."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from evomerge.archive import Archive
from evomerge.campaign import CampaignError
from evomerge.campaign.events import (
    CandidateAsked,
    CandidateFailed,
    CandidateTold,
    Event,
    Noted,
    SearchEnded,
    StopSearch,
)
from evomerge.optimisers.protocol import Optimiser
from evomerge.optimisers.random_search import RandomSearch
from evomerge.workers.in_process import InProcessPool
from tests.evomerge.killing import contents
from tests.evomerge.toy import ToyWorker
from tests.evomerge.toy_run import OPTIMISERS, campaign, run_toy


def by_hand(path: Path, optimiser: Optimiser, evaluations: int, *, n: int = 1, stop_after: int = 10**9, **options):
    """Ask and tell until nothing is left to ask, or so many candidates have been told."""
    worker = ToyWorker(fail_below=0.05)
    archive = Archive.open(path) if path.exists() else Archive.create(path, "name: toy\n")
    search = campaign(archive, optimiser, InProcessPool(lambda: worker), evaluations, **options)
    while search.progress.done < stop_after and (candidates := search.ask(n)):
        search.tell([worker.evaluate(candidate, search.items(candidate)) for candidate in candidates])
    archive.close()
    return search


@pytest.mark.parametrize("name", OPTIMISERS)
def test_asked_and_told_by_hand_the_archive_is_that_of_run(tmp_path: Path, name: str) -> None:
    pool = InProcessPool(lambda: ToyWorker(fail_below=0.05))
    run_toy(tmp_path / "run.sqlite", name, 40, pool=pool)
    by_hand(tmp_path / "hand.sqlite", OPTIMISERS[name](), 40)
    by_hand(tmp_path / "parts.sqlite", OPTIMISERS[name](), 40, stop_after=17)
    by_hand(tmp_path / "parts.sqlite", OPTIMISERS[name](), 40)
    assert contents(tmp_path / "hand.sqlite") == contents(tmp_path / "run.sqlite")
    assert contents(tmp_path / "parts.sqlite") == contents(tmp_path / "run.sqlite")


def test_what_is_asked_and_not_told_is_asked_again_after_a_resume(tmp_path: Path) -> None:
    archive = Archive.create(tmp_path / "a.sqlite", "")
    first = campaign(archive, RandomSearch(2, seed=0), InProcessPool(ToyWorker), 10).ask(5)
    again = campaign(archive, RandomSearch(2, seed=0), InProcessPool(ToyWorker), 10).ask(5)
    assert [c.number for c in first] == [c.number for c in again] == [0, 1, 2, 3, 4]
    assert [c.recipe for c in first] == [c.recipe for c in again]


def test_five_failures_in_a_row_are_raised_once_they_are_committed(tmp_path: Path) -> None:
    archive = Archive.create(tmp_path / "a.sqlite", "")
    search = campaign(archive, RandomSearch(2, seed=0), InProcessPool(ToyWorker), 10)
    failing = ToyWorker(fail_below=2.0)
    with pytest.raises(CampaignError, match="5 different candidates failed in a row"):
        search.tell([failing.evaluate(candidate, search.items(candidate)) for candidate in search.ask(5)])
    assert len(archive.records()) == 5


def test_callbacks_get_every_event_after_its_commit(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    seen: list[tuple[type, int]] = []

    def note(event: Event) -> None:
        with_number = event.candidate if isinstance(event, CandidateAsked) else None
        if isinstance(event, CandidateTold | CandidateFailed):
            outcome = event.evaluation if isinstance(event, CandidateTold) else event.failure
            with_number = outcome.candidate
        other = Archive.read(path)  # another reader: it sees what was committed, and nothing else
        if with_number is not None:
            asked = other.candidate(with_number.number).number == with_number.number
            told = with_number.number in [record.number for record in other.records()]
            assert asked
            assert told == (not isinstance(event, CandidateAsked))
        other.close()
        seen.append((type(event), -1 if with_number is None else with_number.number))

    pool = InProcessPool(lambda: ToyWorker(fail_below=0.2))
    assert run_toy(path, "random", 12, pool=pool, callbacks=[note]) == "evaluations"
    assert [number for kind, number in seen if kind is CandidateAsked] == list(range(12))
    assert [number for kind, number in seen if kind in (CandidateTold, CandidateFailed)] == list(range(12))
    assert {kind for kind, _ in seen} == {CandidateAsked, CandidateTold, CandidateFailed, SearchEnded}
    assert seen[-1] == (SearchEnded, -1)


def test_what_a_callback_raises_is_a_warning_and_the_search_goes_on(tmp_path: Path) -> None:
    def faulty(event: Event) -> None:
        if isinstance(event, CandidateTold) and event.evaluation.candidate.number == 3:
            raise KeyError("nowhere")

    with pytest.warns(RuntimeWarning, match=r"callback .*faulty failed at CandidateTold: KeyError: 'nowhere'"):
        assert run_toy(tmp_path / "a.sqlite", "nsga2", 12, callbacks=[faulty]) == "evaluations"
    run_toy(tmp_path / "b.sqlite", "nsga2", 12)
    assert contents(tmp_path / "a.sqlite") == contents(tmp_path / "b.sqlite")


def test_a_callback_stops_the_search(tmp_path: Path) -> None:
    def enough(event: Event) -> None:
        if isinstance(event, CandidateTold) and event.progress.done == 5:
            raise StopSearch

    assert run_toy(tmp_path / "a.sqlite", "nsga2", 12, callbacks=[enough]) == "stopped"
    with closing(Archive.read(tmp_path / "a.sqlite")) as archive:
        assert len(archive.records()) == 5


def test_who_drains_hears_of_it_from_the_loop_and_not_from_inside(tmp_path: Path) -> None:
    said: list[str] = []
    archive = Archive.create(tmp_path / "a.sqlite", "")

    class DrainingWorker(ToyWorker):
        def evaluate(self, candidate, budget):
            search.drain()  # as a signal handler does
            assert not said
            return super().evaluate(candidate, budget)

    def note(event: object) -> None:
        said.extend([event.text] if isinstance(event, Noted) else [])

    pool = InProcessPool(DrainingWorker)
    search = campaign(archive, RandomSearch(2, seed=0), pool, 10, callbacks=[note])
    assert search.run() == "interrupted"
    assert len(archive.records()) == 1
