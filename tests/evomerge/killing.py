"""Killing a campaign's process at a random moment, and resuming what it left."""

from __future__ import annotations

import functools
import multiprocessing
import random
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Event
from pathlib import Path

from evomerge.archive import Archive, Asked
from evomerge.results.front import read_front
from evomerge.workers.in_process import InProcessPool
from evomerge.workers.protocol import CandidateWorker, WorkerPool
from tests.evomerge.toy import ToyWorker
from tests.evomerge.toy_run import run_toy
from tests.evomerge.toy_schedules import CountingWorker, halving, own_items, run_schedule

EVALUATIONS = 60
# A server process imports everything once and forks a child per run: a kill then costs no start of Python.
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.evomerge.killing", "cma", "pymoo.algorithms.moo.nsga2", "moocore"])


def contents(path: Path) -> tuple[object, ...]:
    """Everything of an archive that may not depend on kills, workers or clocks."""
    archive = Archive.read(path)
    candidates = [c for event in archive.history() if isinstance(event, Asked) for c in event.candidates]
    asked = [
        (c.number, c.label, c.proposal, c.recipe.digest, None if c.genome is None else c.genome.tobytes())
        for c in candidates
    ]
    records = sorted((r.number, r.estimate, r.stage, r.reason) for r in archive.records())
    scores = [archive.scores(c.number, "search") for c in candidates]
    front = [(p.candidate.number, p.estimate) for p in read_front(archive).points]
    archive.close()
    return asked, records, scores, front


def killed_and_resumed_equals_whole(directory: Path, name: str, seed: int, *, cluster: str | None = None) -> None:
    """SIGKILL a run at random moments, resume it, and compare with a run that nothing disturbed."""
    chance = random.Random(seed)
    path = directory / "killed.sqlite"
    for _ in range(1 if cluster else 2):
        child, ready = _start(path, name, pause=0.005, cluster=cluster)
        while not ready.wait(1):
            assert child.is_alive()
        time.sleep(chance.uniform(0.0, 0.45))
        child.kill()
        child.join()
    _finish(path, name, cluster)
    _finish(directory / "whole.sqlite", name, None)
    assert contents(path) == contents(directory / "whole.sqlite")


def _finish(path: Path, name: str, cluster: str | None) -> None:
    child, _ = _start(path, name, pause=0.0, cluster=cluster)
    child.join(300)
    assert child.exitcode == 0


def _start(path: Path, name: str, *, pause: float, cluster: str | None) -> tuple[BaseProcess, Event]:
    ready = CONTEXT.Event()
    child = CONTEXT.Process(target=_run, args=(path, name, pause, cluster, ready), daemon=False)
    child.start()
    return child, ready


def _run(path: Path, name: str, pause: float, cluster: str | None, ready: Event) -> None:
    kind, _, optimiser = name.rpartition(" ")
    schedule = {"halved": halving, "own items": own_items}.get(kind)
    make_worker: Callable[[], CandidateWorker] = functools.partial(ToyWorker, fail_below=0.05, pause=pause)
    if schedule is not None:
        make_worker = functools.partial(CountingWorker, pause=pause)
    pool: WorkerPool
    if cluster is None:
        pool = InProcessPool(make_worker)
    else:
        from evomerge.workers.ray_pool import RayPool

        pool = RayPool(make_worker, count=2, run_dir=path.parent, address=cluster)
    ready.set()
    if schedule is not None:
        run_schedule(path, optimiser, EVALUATIONS, schedule, pool=pool).close()
    else:
        assert run_toy(path, name, EVALUATIONS, pool=pool) == "evaluations"
    pool.close()
