"""Where candidates were scored and what that took: kept beside the outcomes, and shown; nothing depends on it."""

from __future__ import annotations

import socket
from pathlib import Path

from evomerge.archive import Archive
from evomerge.archive.codec import pack_work, unpack_work
from evomerge.candidate import Scored, Work
from evomerge.results.work import by_place
from evomerge.workers.in_process import InProcessPool
from tests.evomerge.killing import contents
from tests.evomerge.toy import ToyWorker
from tests.evomerge.toy_run import run_toy
from tests.evomerge.workers.pool_contract import BUDGET
from tests.evomerge.workers.scoring import make_candidate, make_scoring_worker


class MeasuringWorker(ToyWorker):
    """Says of each candidate where it was scored."""

    def evaluate(self, candidate, budget):
        done = super().evaluate(candidate, budget)
        place = Work(f"n{candidate.number % 2}", "NVIDIA H100", 0.25, 4.0, 10**9 + candidate.number)
        return Scored(done.candidate, done.scores, done.seconds, work=place)


def test_a_worker_measures_what_it_does() -> None:
    done = make_scoring_worker().evaluate(make_candidate(0), BUDGET)
    assert isinstance(done, Scored)
    assert done.work is not None
    assert (done.work.node, done.work.device, done.work.peak_bytes) == (socket.gethostname(), "cpu", None)
    assert done.work.together == 1
    assert 0 <= done.work.merge_seconds + done.work.score_seconds <= done.seconds


def test_an_archive_keeps_it_and_an_older_one_gets_it_with_its_next_outcome(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    run_toy(path, "nsga2", 10)
    assert Archive.read(path).works() == []
    run_toy(path, "nsga2", 20, pool=InProcessPool(MeasuringWorker))
    archive = Archive.read(path)
    assert [number for number, _ in archive.works()] == list(range(10, 20))
    assert dict(archive.works())[12] == Work("n0", "NVIDIA H100", 0.25, 4.0, 10**9 + 12)
    archive.find_damage()
    assert archive.damage == ()
    run_toy(tmp_path / "b.sqlite", "nsga2", 20)
    assert contents(path) == contents(tmp_path / "b.sqlite")


def test_it_is_summed_up_by_node_and_device() -> None:
    works = [
        (0, Work("b", "cpu", 1.0, 2.0)),
        (1, Work("a", "A100", 3.0, 4.0, 5)),
        (2, Work("b", "cpu", 2.0, 6.0, None, 500, 50, 7)),
    ]
    assert [list(row.values()) for row in by_place(works)] == [
        ["a", "A100", 1, 3.0, 4.0, 5, None, None, 1.0],
        ["b", "cpu", 2, 1.5, 4.0, None, 500.0, 50.0, 4.0],
    ]


def test_tokens_and_companions_are_kept_and_those_of_older_archives_are_not_known() -> None:
    work = Work("n0", "cpu", 0.25, 4.0, None, 16_000, 350, 4)
    assert unpack_work(pack_work(work)) == work
    assert unpack_work('["n0", "cpu", 0.25, 4.0, 12]') == Work("n0", "cpu", 0.25, 4.0, 12)
