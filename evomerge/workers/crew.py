"""The actors of a pool: as many as its cluster has room for, which follow its nodes as they come and go."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator
from typing import Any

from evomerge.workers.nodes import Need, alive, amounts, cores_of, neighbours
from evomerge.workers.protocol import CandidateWorker, ClusterLostError, WorkerSetupError
from evomerge.workers.ray_actor import RayActor
from evomerge.workers.ray_cluster import HeadWatch, RayError, RayTaskError, cluster_nodes, explained, of_its_node, ray
from evomerge.workers.ray_groups import nodes_of_group, release, reserved
from evomerge.workers.slots import Slot
from evomerge.workers.threads import THREAD_VARIABLES, available_cores, threads_per_worker
from evomerge.workers.worker import reason

log = logging.getLogger(__name__)

# On a busy machine Ray ends an actor before it began when it once fails to reach the driver that asked for it.
_START_ATTEMPTS = 3
_LOOK_S = 5.0  # between two looks at the cluster
_SAY_AFTER_S = 60.0  # that workers have had no room


class Crew:
    """Starts actors, replaces them, and gives up a slot in which none can be built until another node comes.

    An actor that has no room waits in Ray's queue, which is also what makes a cluster that scales itself grow.

    Args:
        make_worker: called once in each actor.
        need: what each reserves.
        count: the most actors.
        start_timeout_s: the longest that building a worker may take, once its actor is placed.
        said: OMP_NUM_THREADS of the user, empty where it is not set.
        say: tells the user what the pool waits for.
    """

    def __init__(
        self,
        make_worker: Callable[[], CandidateWorker],
        need: Need,
        count: int,
        *,
        start_timeout_s: float,
        said: str,
        say: Callable[[str], object],
    ) -> None:
        self.slots: list[Slot] = []
        self._given_up = [Slot(number) for number in range(count)]
        self._need, self._count, self._start_timeout_s, self._say = need, count, start_timeout_s, say
        self._head, self._nodes = HeadWatch(), cluster_nodes()
        self._looked = self._told = time.monotonic()
        self._starting = True  # what goes wrong is the user's to mend: nothing was scored yet
        self._make_worker, self._said = make_worker, said
        self._options = self._options_of_actors()

    @property
    def workers(self) -> int:
        """How many are built, and live as far as anybody knows."""
        return sum(slot.phase == "ready" for slot in self.slots)

    def start(self, least: int, timeout_s: float = math.inf) -> None:
        """Start all actors and wait until so many workers are built.

        Raises:
            WorkerSetupError: a worker cannot be built, or not in time.
        """
        self._fill()
        end = time.monotonic() + timeout_s
        while self.workers < least:
            if (left := end - time.monotonic()) <= 0:
                raise WorkerSetupError(
                    f"workers: {least} workers were not built within {timeout_s:g} s; free in the cluster: "
                    f"{amounts(ray.available_resources())}"
                )
            list(self.answers(left))
        self._starting = False

    def answers(self, most_s: float = math.inf) -> Iterator[tuple[Slot, Any]]:
        """Wait until an actor answers, a deadline is over, or it is time to look at the cluster.

        Yields:
            A slot with candidates, and its actor's answer: what it returned, a RayError, or None: its time is over.

        Raises:
            ClusterLostError: there are no workers any more, or no head.
            WorkerSetupError: a worker cannot be built.
        """
        awaited = {slot.awaited: slot for slot in self.slots if slot.awaited is not None}
        left = min([slot.expires for slot in awaited.values()], default=math.inf) - time.monotonic()
        timeout = max(0.0, min(left, most_s, _LOOK_S))
        ready: list[Any] = []
        if awaited:
            ray.wait(list(awaited), num_returns=1, timeout=timeout)
            ready, _ = ray.wait(list(awaited), num_returns=len(awaited), timeout=0)  # all that are by now
        now = time.monotonic()
        answered = {ref: _answer(ref) for ref in ready}
        answered.update((ref, None) for ref, slot in awaited.items() if ref not in answered and slot.expires <= now)
        for ref, answer in answered.items():
            slot = awaited[ref]
            if slot.phase == "ready":
                slot.awaited, slot.expires = None, math.inf
                yield slot, answer
            else:
                self._settle(slot, answer)
        if now - self._looked >= _LOOK_S:
            self._look(now)

    def replace(self, slot: Slot) -> None:
        """Start another actor in a slot, wherever there is room."""
        _end(slot)
        self._start(slot)

    def lost(self, slot: Slot) -> str | None:
        """Return a node of a worker's that is gone, as far as Ray knows by now; None where all live."""
        return next((node for node in sorted(slot.nodes) if not self.lives(node)), None)

    def lives(self, node: str) -> bool:
        """Return whether a node lives, as far as Ray knows by now."""
        if self._head.look():
            self._nodes = cluster_nodes()
        return any(found["NodeID"] == node for found in alive(self._nodes))

    def close(self) -> None:
        """Kill the actors."""
        if ray.is_initialized():  # else somebody has stopped it, and the actors with it
            for slot in self.slots:
                _end(slot)
        self.slots.clear()
        self._given_up.clear()

    def _settle(self, slot: Slot, answer: Any) -> None:
        """Take what an actor says that is no worker yet: where it is, that it is built, or that it cannot be."""
        if answer is None:
            self._not_built(slot, f"it was not built within {self._start_timeout_s:g} s", None)
        elif isinstance(answer, RayError):
            self._not_built(slot, explained(answer), answer)
        elif slot.phase == "placing":
            slot.place, slot.nodes = answer, {answer.node, *nodes_of_group(slot.group)}
            if all(node["NodeID"] != slot.node for node in self._nodes):
                self._nodes = cluster_nodes()
            near = neighbours(self._need, slot.node, self._nodes, self._count)
            building = slot.actor.start.remote(near, cores_of(slot.node, self._nodes))
            slot.expect(building, "building", self._start_timeout_s)
        else:
            slot.phase, slot.awaited, slot.expires, slot.n_failed = "ready", None, math.inf, 0
            slot.lines = answer

    def _not_built(self, slot: Slot, text: str, error: RayError | None) -> None:
        if error is not None and of_its_node(error):
            self.replace(slot)
            return
        raised = error.cause if isinstance(error, RayTaskError) else None
        if self._starting and (raised is not None or error is None):
            why = text if raised is None else reason(raised)
            own = isinstance(raised, WorkerSetupError)
            raise WorkerSetupError(str(raised) if own else f"workers: a worker could not be built: {why}") from error
        slot.n_failed += 1
        log.warning("worker %d, start %d of %d: %s", slot.number, slot.n_failed, _START_ATTEMPTS, text)
        if slot.n_failed < _START_ATTEMPTS and not isinstance(raised, WorkerSetupError):
            self.replace(slot)
            return
        if self._starting:
            raise WorkerSetupError(f"workers: a worker's process died while it was built: {text}") from error
        self._give_up(slot, text, raised)

    def _give_up(self, slot: Slot, text: str, raised: BaseException | None) -> None:
        _end(slot)
        self.slots.remove(slot)
        self._given_up.append(slot)
        where = "" if slot.place is None else f" on {slot.place.host}"
        self._say(f"worker {slot.number} cannot be built{where}, and is given up until a node comes: {text}")
        if not self.slots:
            if isinstance(raised, WorkerSetupError):
                raise WorkerSetupError(str(raised)) from raised
            raise ClusterLostError(
                f"workers: no worker is left, and none can be built: {text}; everything is saved: mend the cause, then "
                "run the same command again"
            )

    def _look(self, now: float) -> None:
        """See whether the head is there, and which nodes came."""
        self._looked = now
        if not self._head.look():
            return
        known = {node["NodeID"] for node in alive(self._nodes)}
        self._nodes = cluster_nodes()
        if any(node["NodeID"] not in known for node in alive(self._nodes)):
            self._fill()
        living = {node["NodeID"] for node in alive(self._nodes)}
        for slot in self.slots:
            if slot.phase != "ready" or slot.nodes <= living:
                continue
            if slot.idle:  # nobody waits for an answer of its actor
                self.replace(slot)
            elif slot.node in living:
                ray.kill(slot.actor)  # it may wait for its other nodes for ever
        waiting = sum(slot.phase == "placing" and now - slot.since >= _SAY_AFTER_S for slot in self.slots)
        if waiting and now - self._told >= _SAY_AFTER_S * (10 if self.workers else 1):
            self._told = now
            what = f"for a node with {amounts(self._need.amounts)} free" if self._need.amounts else "to be started"
            self._say(f"{waiting} of {self._count} workers wait {what}; {self.workers} work")

    def _fill(self) -> None:
        """Give every slot an actor that has none."""
        for slot in self._given_up:
            slot.n_failed = 0
            self._start(slot)
        self.slots += self._given_up
        self._given_up.clear()

    def _start(self, slot: Slot) -> None:
        options, slot.place, slot.group = dict(self._options), None, None
        if self._need.across_nodes:
            slot.group, options["scheduling_strategy"] = reserved(self._need.bundles)
        actor = ray.remote(RayActor).options(**options)
        slot.actor = actor.remote(self._make_worker, self._need.cpus or None, self._said)
        slot.expect(slot.actor.place.remote(), "placing")

    def _options_of_actors(self) -> dict[str, Any]:
        need = self._need
        count = max([1, *(neighbours(need, node["NodeID"], self._nodes, self._count) for node in alive(self._nodes))])
        # A first guess: the actor itself knows its node. Ray would set other numbers.
        variables = dict.fromkeys(
            THREAD_VARIABLES, str(threads_per_worker(count, need.cpus or None, available_cores()))
        )
        if not need.gpus:  # Ray itself hides them in some versions only
            variables["CUDA_VISIBLE_DEVICES"] = ""
        options: dict[str, Any] = {"num_cpus": need.cpus, "num_gpus": need.gpus, "max_restarts": 0}
        if need.across_nodes:  # the engine's own processes have them
            options["num_gpus"] = 0
        if need.accelerator is not None and not need.across_nodes:
            options["accelerator_type"] = need.accelerator
        if not need.amounts:
            options["scheduling_strategy"] = "SPREAD"
        return {**options, "runtime_env": {"env_vars": variables}}


def _end(slot: Slot) -> None:
    ray.kill(slot.actor)
    release(slot.group)


def _answer(ref: Any) -> Any:
    try:
        return ray.get(ref)
    except RayError as error:
        return error
