"""A pool of Ray actors, each with one resident model.

Recipes go out, item scores come back; weights never travel. The pool is its own supervisor: it watches every
candidate's deadline, and replaces actors that die or hang. What was lost with a node goes to any other worker: only a
candidate that ends its own worker, and the next one's too, is a failure.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from evomerge.candidate import Candidate, Done, Failure, Scored, Stage
from evomerge.workers.crew import Crew
from evomerge.workers.deadlines import Deadlines
from evomerge.workers.nodes import Need, alive, check_room
from evomerge.workers.protocol import CandidateWorker, ClusterLostError
from evomerge.workers.ray_cluster import (
    RayError,
    RayTaskError,
    cluster_nodes,
    connect,
    explained,
    interrupted,
    of_its_node,
    plain,
)
from evomerge.workers.slots import Job, JobQueue, Slot
from evomerge.workers.worker_logs import write_lines
from fitness.scores import Budget

log = logging.getLogger(__name__)

_MOST_LOSSES = 10  # of one candidate, with nodes and with memory that others share


class RayPool:
    """Scores candidates in up to `count` Ray actors; a context manager that closes itself.

    Without an address a Ray of our own is started and stopped again, unless this process is already connected to
    one. A candidate whose worker dies, or that overruns its deadline, is tried again; after `attempts` tries it is a
    Failure of stage `worker` or `deadline`. Lost with its node, or ended because the node had no memory left, it is
    queued again, and nobody is told.
    """

    def __init__(  # noqa: PLR0913
        self,
        make_worker: Callable[[], CandidateWorker],
        *,
        count: int,
        run_dir: Path,
        least: int | None = None,
        together: int = 1,
        cpus: float | None = None,
        gpus: float = 0.0,
        accelerator: str | None = None,
        across_nodes: bool = False,
        address: str | None = None,
        deadline_s: float | None = None,
        medians: float | None = None,
        attempts: int = 2,
        start_timeout_s: float = 900.0,
        say: Callable[[str], object] = log.warning,
    ) -> None:
        """Start the workers and return when all of them are ready, or `least` of them.

        Args:
            make_worker: called once in each actor; picklable.
            count: how many actors; with `least` the most.
            run_dir: the run directory; Ray's temporary files live and die in or beside it, workers' logs in `logs`.
            least: begin with so many, however long they wait for nodes; None: `count`, for which there must be room.
            together: most candidates that one worker scores together.
            cpus: cores reserved for each actor, also its threads; None reserves none, and shares its node's evenly
                (with `least` and no GPUs 1: somebody has to say how many workers fit on a node that is to come).
            gpus: GPUs reserved for each actor, e.g. 0.5; an actor sees no GPU but its own, and none with 0.
            accelerator: the type of GPU, as Ray calls it; None: any.
            across_nodes: whether an actor's GPUs may lie on several nodes: it sees none itself, and what it starts has
                one in each bundle of its placement group.
            address: an existing cluster, `auto` or `host:port`; it is left running.
            deadline_s: the longest that one try of a candidate may take, in seconds; None for no limit.
            medians: later ones may take so many times the median of those before (`Deadlines`); None: `deadline_s`.
            attempts: how often a candidate is tried before it is a Failure, at least 1.
            start_timeout_s: the longest that building a worker may take, in seconds.
            say: tells the user what the pool waits for.

        Raises:
            WorkerSetupError: Ray or a worker cannot be started, or the cluster has not what was asked for.
        """
        self._deadlines = Deadlines(math.inf if deadline_s is None else deadline_s, medians)
        self._together, self._attempts, self._run_dir = together, attempts, run_dir
        self._queue = JobQueue()
        self._closing = contextlib.ExitStack()
        with contextlib.ExitStack() as undo:
            undo.callback(self.close)
            connect(self._closing, address, run_dir)
            nodes = cluster_nodes()
            need = Need(cpus or (1.0 if least is not None and not gpus else 0.0), gpus, accelerator, across_nodes)
            if least is None:
                check_room([node["Resources"] for node in alive(nodes)], count, need)
            said = os.environ.get("OMP_NUM_THREADS", "")
            self._crew = Crew(make_worker, need, count, start_timeout_s=start_timeout_s, said=said, say=say)
            self._closing.callback(self._crew.close)
            if least is None:
                self._crew.start(count, start_timeout_s)
            else:
                self._crew.start(least)
            undo.pop_all()

    @property
    def free(self) -> int:
        """How many candidates can be submitted; at least one where none is under way, which waits for a worker."""
        slots = self._crew.slots
        room = self._together * sum(slot.idle for slot in slots) - len(self._queue)
        nothing = slots and not self._queue and not any(slot.jobs for slot in slots)
        return max(room, 1 if nothing else 0)

    @property
    def workers(self) -> int:
        """How many workers score at the same time; 0 when closed."""
        return self._crew.workers

    def submit(self, candidate: Candidate, budget: Budget) -> None:
        """Start scoring a candidate; RuntimeError where no worker is free."""
        if not self.free:
            raise RuntimeError("submit: expected a free worker, found none; call wait() first")
        self._queue.append(Job(candidate, budget))
        if self._together == 1:
            self._dispatch()

    def wait(self) -> list[Done]:
        """Block until a submitted candidate is done, or a worker came; return all that are done, in any order."""
        while self._queue or any(slot.jobs for slot in self._crew.slots):
            self._dispatch()
            before = self.workers
            done = [one for slot, answer in self._crew.answers() for one in self._taken(slot, answer)]
            if done or (self.workers > before and not self._queue):
                return done
        return []

    def close(self) -> None:
        """Kill the actors, and stop or leave the cluster; a second call does nothing."""
        self._queue.clear()
        self._closing.close()

    def __enter__(self) -> RayPool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _dispatch(self) -> None:
        """Give what waits to those who are idle, evenly."""
        idle = [slot for slot in self._crew.slots if slot.idle]
        for n_before, slot in enumerate(idle):
            if not self._queue:
                return
            share = math.ceil(len(self._queue) / (len(idle) - n_before))
            slot.jobs = self._queue.take(min(share, self._together))
            budget = slot.jobs[0].budget
            # The genome stays here: only a recipe crosses the border.
            candidates = [replace(job.candidate, genome=None) for job in slot.jobs]
            seconds = len(slot.jobs) * self._deadlines.seconds(budget)
            slot.expect(slot.actor.evaluate.remote(candidates, budget), "ready", seconds)

    def _taken(self, slot: Slot, answer: Any) -> list[Done]:
        """Free a slot, and return those of its candidates that are done: others are queued again."""
        jobs, slot.jobs = slot.jobs, []
        if answer is None:
            seconds = self._deadlines.seconds(jobs[0].budget)
            return self._tried(slot, jobs, "deadline", f"not done within the deadline of {seconds:g} s")
        if isinstance(answer, RayError):
            text, details = explained(answer), plain(answer)
            if of_its_node(answer):
                return self._lost(slot, jobs, text)
            again = interrupted(answer) or not isinstance(answer, RayTaskError)
            return self._tried(slot, jobs, "worker", text, details, again=again)
        dones, lines = answer
        self._write(slot, lines)
        if slot.group is not None and any(isinstance(done, Failure) for done in dones) and self._crew.lost(slot):
            return self._lost(slot, jobs, "a node of the worker's was lost")
        for job, done in zip(jobs, dones, strict=True):
            if isinstance(done, Scored):
                self._deadlines.note(job.budget, done.seconds)
        return [job.finished(done) for job, done in zip(jobs, dones, strict=True)]

    def _lost(self, slot: Slot, jobs: list[Job], text: str) -> list[Done]:
        """Queue again what is lost through no fault of its own."""
        self._crew.replace(slot)
        for job in jobs:
            job.n_lost += 1
            log.warning("candidate %d is queued again: %s", job.candidate.number, text)
            if job.n_lost >= _MOST_LOSSES:
                raise ClusterLostError(
                    f"workers: candidate {job.candidate.number} was lost {job.n_lost} times, the last time: {text}; "
                    "everything is saved: with fewer workers a node, or nodes that stay, run the same command again"
                )
        self._queue.put_back(jobs)
        return []

    def _tried(
        self, slot: Slot, jobs: list[Job], stage: Stage, text: str, details: str = "", *, again: bool = True
    ) -> list[Done]:
        """Queue again what ended its worker, or hung, unless it did so often enough; an error would only repeat."""
        # Of several nobody knows whose it is.
        if len(jobs) > 1:
            return self._lost(slot, jobs, f"{text}, with {len(jobs) - 1} others")
        [job] = jobs
        job.died_on.append(self._crew.lost(slot) or slot.node)
        if again:
            self._crew.replace(slot)
        # A node takes its workers along before anybody knows that it is gone.
        job.died_on = [node for node in job.died_on if self._crew.lives(node)]
        log.warning("candidate %d, try %d of %d: %s", job.candidate.number, len(job.died_on), self._attempts, text)
        if again and len(job.died_on) < self._attempts:
            self._queue.put_back(jobs)
            return []
        return [job.failed(stage, text, details)]

    def _write(self, slot: Slot, lines: list[str]) -> None:
        if slot.place is not None:
            write_lines(self._run_dir, slot.number, f"{slot.place.host} {slot.place.pid}", [*slot.lines, *lines])
        slot.lines = []
