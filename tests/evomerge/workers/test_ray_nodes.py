"""The Ray pool on a cluster whose nodes come and go: a head without cores and GPUs, logical nodes beside it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from evomerge.candidate import Candidate, Done, Failure, Scored
from evomerge.workers import InProcessPool, WorkerSetupError
from evomerge.workers.cluster_gpus import gpus_of_cluster
from evomerge.workers.ray_pool import RayPool
from fitness.scores import Budget
from tests.evomerge.killing import contents
from tests.evomerge.toy import ToyWorker
from tests.evomerge.toy_run import run_toy
from tests.evomerge.workers.pool_contract import BUDGET, score_all
from tests.evomerge.workers.scoring import (
    DeviceReporter,
    ThreadReporter,
    make_candidate,
    make_scoring_worker,
    report,
)
from tests.evomerge.workers.small_cluster import GateWorker, add, await_nodes, started

# One after the other: what one module starts, another would find.
pytestmark = pytest.mark.xdist_group("ray")

ray = pytest.importorskip("ray")


@pytest.fixture(scope="module")
def head() -> Iterator[Any]:
    with started() as cluster:
        yield cluster


@pytest.fixture
def cluster(head: Any) -> Iterator[Any]:
    """The head alone; what a test adds is removed."""
    yield head
    for node in list(head.worker_nodes):
        head.remove_node(node, allow_graceful=False)
    await_nodes(1)


@pytest.fixture
def beside() -> Iterator[ThreadPoolExecutor]:
    """Runs a pool in a thread: nodes are added in the main one."""
    with ThreadPoolExecutor(1) as threads:
        yield threads


def test_a_pool_begins_on_no_nodes_behind_a_head_without_gpus_and_takes_the_node_that_comes(cluster, tmp_path, beside):
    starting = beside.submit(RayPool, DeviceReporter, count=3, least=1, gpus=1, run_dir=tmp_path)
    time.sleep(1.0)
    assert not starting.done()
    add(cluster, num_cpus=2, num_gpus=2)
    with starting.result() as pool:
        assert pool.workers >= 1
        done = score_all(pool, [make_candidate(number) for number in range(6)])
        assert {one.scores.values[0] for one in done} <= {0.0, 1.0}
        assert pool.workers <= 2  # the third has no room


def test_a_fixed_number_of_workers_is_refused_where_there_is_no_room_and_told_of_min_and_max(cluster, tmp_path):
    with pytest.raises(WorkerSetupError, match=r"room for 0 in \(0 CPU, 0 GPU\); lower .* or write workers\.min"):
        RayPool(make_scoring_worker, count=2, cpus=1, run_dir=tmp_path)


@pytest.mark.slow
def test_gpus_are_asked_of_the_cluster_and_not_of_the_driver(cluster, tmp_path):
    add(cluster, num_cpus=2, num_gpus=2)
    assert gpus_of_cluster(cluster.address) == 2.0
    with RayPool(DeviceReporter, count=2, gpus=1, run_dir=tmp_path) as pool:
        done = score_all(pool, [make_candidate(0), make_candidate(1)])
    assert sorted(one.scores.values[0] for one in done) == [0.0, 1.0]


def test_a_worker_has_its_share_of_its_own_nodes_cores(cluster, tmp_path, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr("evomerge.workers.crew.available_cores", lambda: 1)  # the driver's, which does not matter
    add(cluster, num_cpus=2, num_gpus=1)
    with RayPool(ThreadReporter, count=1, gpus=1, run_dir=tmp_path) as pool:
        (done,) = score_all(pool, [make_candidate(0)])
        assert done.scores.values[0] == min(2, os.cpu_count() or 1)
    with RayPool(ThreadReporter, count=2, gpus=0.5, run_dir=tmp_path) as pool:
        (done,) = score_all(pool, [make_candidate(0)])
        assert done.scores.values[0] == 1


def test_nodes_that_are_lost_and_come_in_mid_run_change_nothing(cluster, tmp_path, beside):
    lost = add(cluster, num_cpus=2)
    add(cluster, num_cpus=1)
    archive = tmp_path / "disturbed.sqlite"
    with RayPool(partial(ToyWorker, 0.05, 0.15), count=3, least=3, cpus=1, run_dir=tmp_path) as pool:
        running = beside.submit(run_toy, archive, "nsga2", 60, pool=pool)
        time.sleep(1.0)
        cluster.remove_node(lost, allow_graceful=False)
        add(cluster, num_cpus=2)
        assert running.result() == "evaluations"
    run_toy(tmp_path / "whole.sqlite", "nsga2", 60, pool=InProcessPool(lambda: ToyWorker(0.05)))
    assert contents(archive) == contents(tmp_path / "whole.sqlite")


def test_what_was_running_on_a_lost_node_goes_to_a_live_worker_and_a_dead_slot_is_not_free(cluster, tmp_path, beside):
    add(cluster, num_cpus=1)
    lost = add(cluster, num_cpus=1)
    gate = tmp_path / "gate"
    with RayPool(GateWorker, count=2, cpus=1, run_dir=tmp_path) as pool:
        scoring = beside.submit(score_all, pool, [make_candidate(number, where=gate) for number in range(2)])
        time.sleep(1.0)
        cluster.remove_node(lost, allow_graceful=False)
        await_nodes(2)
        gate.touch()
        assert all(isinstance(one, Scored) for one in scoring.result())
        assert (pool.workers, pool.free) == (1, 1)


class AcrossNodes:
    """Scores with the number of nodes that its GPUs are on, once a file is there."""

    def evaluate(self, candidate: Candidate, budget: Budget) -> Done:
        @ray.remote(num_gpus=1, num_cpus=0)
        def node() -> str:
            return ray.get_runtime_context().get_node_id()

        while not Path(candidate.recipe.parents["base"].model).exists():
            time.sleep(0.02)
        return report(candidate, len({*ray.get([node.remote() for _ in range(2)])}))


def test_a_worker_across_nodes_waits_for_both_and_what_it_loses_with_one_is_scored_on_others(cluster, tmp_path, beside):
    gate = tmp_path / "gate"
    add(cluster, num_cpus=1, num_gpus=1)
    across = partial(RayPool, AcrossNodes, gpus=2, across_nodes=True, run_dir=tmp_path)
    with pytest.raises(WorkerSetupError, match="room for 0 in"):
        across(count=1)
    starting = beside.submit(across, count=2, least=1)
    time.sleep(1.0)
    assert not starting.done()
    add(cluster, num_cpus=1, num_gpus=1)
    with starting.result() as pool:
        (place,) = [slot for slot in pool._crew.slots if slot.phase == "ready"]
        assert len(place.nodes) == 2
        scoring = beside.submit(score_all, pool, [make_candidate(0, where=gate)])
        time.sleep(0.5)
        other = next(node for node in cluster.worker_nodes if node.node_id != place.node)
        add(cluster, num_cpus=1, num_gpus=1)
        cluster.remove_node(other, allow_graceful=False)
        gate.touch()
        (done,) = scoring.result()
        assert isinstance(done, Scored), done
        assert done.scores.values[0] == 2.0


@pytest.mark.slow
def test_a_straggler_is_ended_by_the_measured_median_and_scored_by_another_worker(cluster, tmp_path, monkeypatch):
    monkeypatch.setattr("evomerge.workers.deadlines.LEAST_S", 0.5)
    add(cluster, num_cpus=2)
    mark = tmp_path / "hung"
    with RayPool(make_scoring_worker, count=2, cpus=1, run_dir=tmp_path, deadline_s=3600, medians=10) as pool:
        score_all(pool, [make_candidate(number) for number in range(5)])
        (done,) = score_all(pool, [make_candidate(5, "hangs once", where=mark)])
    assert mark.exists()
    assert isinstance(done, Scored)


@pytest.mark.slow
def test_a_node_with_other_parents_is_given_up_and_the_search_goes_on_without_it(cluster, tmp_path):
    add(cluster, num_cpus=1)
    said: list[str] = []
    changed = tmp_path / "changed"

    def make_worker():
        if changed.exists():
            raise WorkerSetupError("workers: expected on n2 the parents that this search has, found 'alpha' changed")
        return make_scoring_worker()

    with RayPool(make_worker, count=2, least=1, cpus=1, run_dir=tmp_path, say=said.append) as pool:
        changed.touch()
        add(cluster, num_cpus=1)
        done: list[Done] = []
        number = 0
        while not said:
            pool.submit(make_candidate(number), BUDGET)
            done += pool.wait()
            number += 1
        assert "'alpha' changed" in said[0]
        assert all(isinstance(one, Scored) for one in done)


@pytest.mark.slow
def test_a_worker_that_is_interrupted_says_so(cluster, tmp_path, caplog):
    add(cluster, num_cpus=1)
    with RayPool(InterruptedWorker, count=1, cpus=1, run_dir=tmp_path) as pool:
        (done,) = score_all(pool, [make_candidate(0)])
    assert isinstance(done, Failure)
    assert done.reason == "the worker was interrupted (KeyboardInterrupt, as by Ctrl-C)"


class InterruptedWorker:
    def evaluate(self, candidate: Candidate, budget: Budget) -> Done:
        raise KeyboardInterrupt


@pytest.mark.slow
def test_something_is_done_on_every_node(cluster):
    from evomerge.workers.every_node import on_every_node

    add(cluster, num_cpus=1)

    def where() -> str:
        return ray.get_runtime_context().get_node_id()

    found = on_every_node(cluster.address, where)
    assert sorted(found.values()) == sorted(node["NodeID"] for node in ray.nodes() if node["Alive"])
