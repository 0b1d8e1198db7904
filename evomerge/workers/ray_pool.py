"""A pool of Ray actors, each with one resident model.

Recipes go out, item scores come back; weights never travel. The pool is its own supervisor: it watches every
candidate's deadline, replaces an actor that dies or hangs, and tries its candidate again.
"""

from __future__ import annotations

import contextlib
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from evomerge.candidate import Candidate, Done, Failure, Scored, Stage
from evomerge.workers.protocol import CandidateWorker, WorkerSetupError
from evomerge.workers.ray_cluster import (
    RayError,
    RayTaskError,
    await_workers,
    check_room,
    connect,
    plain,
    raise_setup_error,
    ray,
)
from evomerge.workers.threads import THREAD_VARIABLES, available_cores, threads_per_worker
from evomerge.workers.worker import reason
from fitness.scores import Budget, ItemScores

log = logging.getLogger(__name__)

# On a busy machine Ray ends an actor before it began when it once fails to reach the driver that asked for it.
_START_ATTEMPTS = 3


class RayPool:
    """Scores candidates in `count` Ray actors; a context manager that closes itself.

    Without an address a Ray of our own is started and stopped again, unless this process is already connected to
    one. A lost actor is replaced, its candidate tried again; after `attempts` tries the candidate is a Failure of
    stage `worker` (the actor died) or `deadline`.
    """

    def __init__(  # noqa: PLR0913
        self,
        make_worker: Callable[[], CandidateWorker],
        *,
        count: int,
        run_dir: Path,
        cpus: float | None = None,
        gpus: float = 0.0,
        address: str | None = None,
        deadline_s: float | None = None,
        attempts: int = 2,
        start_timeout_s: float = 900.0,
    ) -> None:
        """Start the workers and return when all of them are ready.

        Args:
            make_worker: called once in each actor; picklable.
            count: how many actors.
            run_dir: the run directory; Ray's temporary files live and die in or beside it.
            cpus: cores reserved for each actor, also its threads; None reserves none, and shares this machine's evenly.
            gpus: GPUs reserved for each actor, e.g. 0.5; an actor sees no GPU but its own, and none with 0.
            address: an existing cluster, `auto` or `host:port`; it is left running.
            deadline_s: the longest that one try of a candidate may take, in seconds; None for no limit.
            attempts: how often a candidate is tried before it is a Failure, at least 1.
            start_timeout_s: the longest that building a worker may take, in seconds.

        Raises:
            WorkerSetupError: Ray or a worker cannot be started, or the cluster has not what was asked for.
        """
        self._deadline_s = math.inf if deadline_s is None else deadline_s
        self._attempts = attempts
        self._start_timeout_s = start_timeout_s
        self._slots: list[Slot] = []
        self._closing = contextlib.ExitStack()
        with contextlib.ExitStack() as undo:
            undo.callback(self.close)
            connect(self._closing, address, run_dir)
            check_room([n["Resources"] for n in ray.nodes() if n["Alive"]], count, cpus=cpus or 0.0, gpus=gpus)
            threads = threads_per_worker(count, cpus, available_cores())
            variables = dict.fromkeys(THREAD_VARIABLES, str(threads))
            if not gpus:  # Ray itself hides them in some versions only
                variables["CUDA_VISIBLE_DEVICES"] = ""
            actor = ray.remote(_Actor).options(
                num_cpus=cpus or 0, num_gpus=gpus, max_restarts=0, runtime_env={"env_vars": variables}
            )
            self._make_actor: Callable[[], Any] = partial(actor.remote, make_worker)
            self._start_all(count)
            undo.pop_all()

    @property
    def free(self) -> int:
        """How many candidates can be submitted."""
        return sum(slot.job is None for slot in self._slots)

    @property
    def workers(self) -> int:
        """How many workers score at the same time; 0 when closed."""
        return len(self._slots)

    def submit(self, candidate: Candidate, budget: Budget) -> None:
        """Start scoring a candidate; RuntimeError where no worker is free."""
        slots = [slot for slot in self._slots if slot.job is None]
        if not slots:
            raise RuntimeError("submit: expected a free worker, found none; call wait() first")
        slot = min(slots, key=lambda slot: slot.starting)  # one that is ready, if there is one
        slot.job = Job(candidate, budget, began=time.monotonic())
        if not slot.starting:
            self._launch(slot)

    def wait(self) -> list[Done]:
        """Block until at least one submitted candidate is done, and return all that are, in any order."""
        while any(slot.job for slot in self._slots):
            if done := self._poll():
                return done
        return []

    def close(self) -> None:
        """Kill the actors, and stop or leave the cluster; a second call does nothing."""
        if ray.is_initialized():  # else somebody has stopped it, and the actors with it
            for slot in self._slots:
                ray.kill(slot.actor)
        self._slots.clear()
        self._closing.close()

    def __enter__(self) -> RayPool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _poll(self) -> list[Done]:
        """Wait for the next event of any busy slot, or for the next deadline."""
        busy = {slot.awaited: slot for slot in self._slots if slot.job}
        left = min(slot.expires for slot in busy.values()) - time.monotonic()
        ray.wait(list(busy), num_returns=1, timeout=None if left == math.inf else max(0.0, left))
        ready, _ = ray.wait(list(busy), num_returns=len(busy), timeout=0)  # the others that are ready by now
        now = time.monotonic()
        done = [self._settle(busy[ref]) for ref in ready]
        done += [self._expire(slot) for ref, slot in busy.items() if ref not in ready and slot.expires <= now]
        return [one for one in done if one is not None]

    def _settle(self, slot: Slot) -> Done | None:
        """Take what a slot's actor has answered: it is up, its candidate is done, or it is lost."""
        try:
            answer = ray.get(slot.awaited)
        except RayTaskError as error:
            cause = reason(error.cause or error)
            if slot.starting:
                raise_setup_error(error)
                return self._retry(slot, "worker", f"the worker could not be built again: {cause}", plain(error))
            return slot.fail("worker", f"the worker raised: {cause}", plain(error))
        except RayError as error:
            text = "the worker's process died; often the system ran out of memory"
            return self._retry(slot, "worker", text, plain(error))
        if slot.starting:
            self._launch(slot)
            return None
        return slot.finish(answer)

    def _expire(self, slot: Slot) -> Done | None:
        if slot.starting:
            return self._retry(slot, "worker", f"the worker was not built again within {self._start_timeout_s:g} s")
        return self._retry(slot, "deadline", f"not done within the deadline of {self._deadline_s:g} s")

    def _retry(self, slot: Slot, stage: Stage, text: str, traceback: str = "") -> Done | None:
        """Replace a slot's actor; its candidate waits for the new one, or has failed for good."""
        assert slot.job is not None
        number, attempts = slot.job.candidate.number, slot.job.attempts
        log.warning("candidate %d, attempt %d of %d: %s", number, attempts, self._attempts, text)
        ray.kill(slot.actor)
        self._start(slot)
        if attempts >= self._attempts:
            return slot.fail(stage, text, traceback)
        slot.job.attempts += 1
        return None

    def _start(self, slot: Slot) -> None:
        slot.actor = self._make_actor()
        slot.awaited = slot.actor.start.remote()
        slot.starting = True
        slot.expires = time.monotonic() + self._start_timeout_s

    def _launch(self, slot: Slot) -> None:
        assert slot.job is not None
        slot.starting = False
        # The genome stays here: only a recipe crosses the border.
        slot.awaited = slot.actor.evaluate.remote(replace(slot.job.candidate, genome=None), slot.job.budget)
        slot.expires = time.monotonic() + self._deadline_s

    def _start_all(self, count: int) -> None:
        for _ in range(count):
            slot = Slot()
            self._start(slot)
            self._slots.append(slot)
        waiting = self._slots
        for left in reversed(range(_START_ATTEMPTS)):
            lost = await_workers([slot.awaited for slot in waiting], self._start_timeout_s)
            waiting = [slot for slot in waiting if slot.awaited in lost]
            if not waiting:
                break
            error = lost[waiting[0].awaited]
            if not left:
                raise WorkerSetupError(
                    f"workers: a worker's process died while it was built: {plain(error)}"
                ) from error
            log.warning("%d of %d workers died while they were built and are started again", len(waiting), count)
            for slot in waiting:
                self._start(slot)
        for slot in self._slots:
            slot.starting = False


class _Actor:
    """One worker in a process of its own."""

    def __init__(self, make_worker: Callable[[], CandidateWorker]) -> None:
        self._make_worker = make_worker

    def start(self) -> None:
        """Build the worker; apart from the constructor, so that the driver gets the error itself."""
        self._worker = self._make_worker()

    def evaluate(self, candidate: Candidate, budget: Budget) -> Done:
        return self._worker.evaluate(candidate, budget)


@dataclass
class Job:
    """A submitted candidate."""

    candidate: Candidate
    budget: Budget
    began: float  # in monotonic seconds
    attempts: int = 1  # this one included


@dataclass(eq=False)
class Slot:
    """A place for one actor at a time."""

    actor: Any = None
    awaited: Any = None  # what the actor will answer next: that it is ready, then the outcome of its job
    starting: bool = True  # whether it is still building its worker
    expires: float = math.inf  # when to give up waiting for `awaited`, in monotonic seconds
    job: Job | None = None  # None: free

    def finish(self, done: Done) -> Done:
        """Free the slot; return an actor's answer with our own candidate, and scores that pin no shared memory."""
        job = self._free()
        if isinstance(done, Scored):
            return replace(done, candidate=job.candidate, scores=ItemScores(done.scores.item_ids, done.scores.values))
        return replace(done, candidate=job.candidate, attempts=done.attempts + job.attempts - 1)

    def fail(self, stage: Stage, reason: str, traceback: str = "") -> Failure:
        """Free the slot; return its candidate as failed for good."""
        job = self._free()
        return Failure(job.candidate, stage, reason, job.attempts, traceback, time.monotonic() - job.began)

    def _free(self) -> Job:
        assert self.job is not None
        job, self.job = self.job, None
        return job
