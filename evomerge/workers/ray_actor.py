"""One worker in a process of its own, on whichever node Ray places it."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from evomerge.candidate import Candidate, Done
from evomerge.workers.protocol import CandidateWorker
from evomerge.workers.sharing import sharing_cores
from evomerge.workers.threads import THREAD_VARIABLES, available_cores, threads_per_worker
from evomerge.workers.worker_logs import LogBuffer
from fitness.scores import Budget


@dataclass(frozen=True)
class Place:
    """Where an actor is.

    Attributes:
        node: Ray's id of the node.
        host: the machine's name.
        pid: of the process.
    """

    node: str
    host: str
    pid: int


class RayActor:
    """Placed first, so that the driver knows its node; then built, once it knows how many share that node's cores."""

    def __init__(self, make_worker: Callable[[], CandidateWorker], cpus: float | None, said: str) -> None:
        """Remember what to build.

        Args:
            make_worker: makes the worker.
            cpus: cores that are reserved for it; None: it shares the node's.
            said: OMP_NUM_THREADS as the driver's user has set it; empty where nobody has. Ray sets one of its own.
        """
        self._make_worker, self._cpus, self._said = make_worker, cpus, said
        self._sharing = contextlib.ExitStack()  # for as long as the process lives
        self._log = LogBuffer()

    def place(self) -> Place:
        """Return where this is."""
        import ray

        return Place(ray.get_runtime_context().get_node_id(), socket.gethostname(), os.getpid())

    def start(self, neighbours: int, cores: int | None) -> list[str]:
        """Build the worker; apart from the constructor, so that the driver gets the error itself.

        Args:
            neighbours: how many workers share this node's cores.
            cores: as many as the node lends to Ray; None: all that this process may use.

        Returns:
            What it has to say.
        """
        self._log.attach()
        found = available_cores()
        environment = {"OMP_NUM_THREADS": self._said}
        threads = threads_per_worker(neighbours, self._cpus, min(found, cores or found), environment)
        os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))  # before those who read them are loaded
        import torch

        torch.set_num_threads(threads)
        self._sharing.enter_context(sharing_cores())
        self._worker = self._make_worker()
        return self._log.taken()

    def evaluate(self, candidates: Sequence[Candidate], budget: Budget) -> tuple[list[Done], list[str]]:
        """Return what became of candidates, in their order, and what the worker has to say."""
        if len(candidates) == 1:
            dones = [self._worker.evaluate(candidates[0], budget)]
        else:
            dones = self._worker.evaluate_together(candidates, budget)
        return dones, self._log.taken()
