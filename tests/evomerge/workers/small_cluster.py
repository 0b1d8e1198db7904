"""Clusters of logical nodes on one machine, to which this process is connected."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from evomerge.candidate import Candidate, Done
from fitness.scores import Budget
from tests.evomerge.workers.scoring import make_candidate, make_scoring_worker

STORE = 80 * 2**20


@contextlib.contextmanager
def started(**head: Any) -> Iterator[Any]:
    """A cluster of a head that nothing is placed on, to which this process is connected."""
    import ray
    from ray.cluster_utils import Cluster

    # A node that is gone is noticed in a second, not in fifteen.
    quick = {"health_check_initial_delay_ms": 200, "health_check_period_ms": 300, "health_check_failure_threshold": 4}
    own = {"_system_config": {**quick, **head.pop("_system_config", {})}, **head}
    environment = pytest.MonkeyPatch()
    environment.setenv("RAY_DEDUP_LOGS_SKIP_REGEX", ".*")  # as evomerge itself has it
    cluster = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 0, "num_gpus": 0, "object_store_memory": STORE, "include_dashboard": False, **own},
    )
    try:
        ray.init(address=cluster.address, log_to_driver=False, logging_level=logging.ERROR)
        yield cluster
    finally:
        ray.shutdown()
        cluster.shutdown()
        environment.undo()


def add(cluster: Any, **resources: float) -> Any:
    return cluster.add_node(object_store_memory=STORE, **resources)


def await_nodes(n: int) -> None:
    """Wait until so many nodes live, the head among them."""
    import ray

    while sum(node["Alive"] for node in ray.nodes()) != n:
        time.sleep(0.1)


class GateWorker:
    """Scores once a file is there."""

    def evaluate(self, candidate: Candidate, budget: Budget) -> Done:
        while not Path(candidate.recipe.parents["base"].model).exists():
            time.sleep(0.02)
        return make_scoring_worker().evaluate(make_candidate(candidate.number), budget)
