"""Losses that need a cluster of their own: a node without memory, a head that is gone."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from evomerge.candidate import Scored
from evomerge.workers import ClusterLostError
from evomerge.workers.ray_pool import RayPool
from evomerge.workers.worker import Worker
from tests.evomerge.workers.pool_contract import BUDGET, score_all
from tests.evomerge.workers.scoring import ItemFitness, SeededResident, make_candidate
from tests.evomerge.workers.small_cluster import GateWorker, add, started

# One after the other: what one module starts, another would find.
pytestmark = [pytest.mark.xdist_group("ray"), pytest.mark.slow]

pytest.importorskip("ray")


def test_a_worker_that_a_node_ends_for_want_of_memory_loses_no_candidate(tmp_path):
    import psutil

    memory = psutil.virtual_memory()
    threshold = (memory.total - memory.available + 2 * 2**30) / memory.total
    limits = {"memory_usage_threshold": threshold, "memory_monitor_refresh_ms": 100}
    with (
        started(num_cpus=1, _system_config=limits),
        RayPool(make_hungry_worker, count=1, cpus=1, run_dir=tmp_path, attempts=1) as pool,
    ):
        (done,) = score_all(pool, [make_candidate(0, "eats once", where=tmp_path / "eaten")])
    assert (tmp_path / "eaten").exists()
    assert isinstance(done, Scored)  # one attempt, and that was not it


def make_hungry_worker() -> Worker:
    return Worker(HungryResident(), ItemFitness())


class HungryResident(SeededResident):
    def become(self, recipe) -> None:
        mark = Path(recipe.parents["base"].model)
        if not mark.exists():
            mark.touch()
            eaten = []
            for _ in range(80):
                eaten.append(bytearray(os.urandom(1) * 2**26))
                time.sleep(0.05)
        super().become(recipe)


def test_a_head_that_is_gone_is_a_sentence_before_ray_ends_the_process(tmp_path):
    with started() as cluster:
        add(cluster, num_cpus=1)
        with RayPool(GateWorker, count=1, cpus=1, run_dir=tmp_path) as pool:
            pool.submit(make_candidate(0, where=tmp_path / "never"), BUDGET)
            for info in cluster.head_node.all_processes["gcs_server"]:
                info.process.kill()
            with pytest.raises(ClusterLostError, match=r"the cluster's head at .* is gone; everything is saved"):
                pool.wait()
