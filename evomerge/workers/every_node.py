"""Something done once on every node of a cluster."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from evomerge.workers.nodes import alive
from evomerge.workers.ray_cluster import RayError, RayTaskError, cluster_nodes, connect, explained, ray
from evomerge.workers.worker import reason

T = TypeVar("T")


def on_every_node(address: str, do: Callable[[], T]) -> dict[str, T | str]:
    """Return the node's address -> what a function returned there, or why it could not, in words.

    Args:
        address: of a running cluster, which is left as it was.
        do: picklable.

    Raises:
        WorkerSetupError: nothing answers at the address.
    """
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    with contextlib.ExitStack() as closing:
        connect(closing, address, Path())
        begun: dict[str, Any] = {}
        for node in alive(cluster_nodes()):
            there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            task = ray.remote(num_cpus=0, max_retries=1)(do).options(scheduling_strategy=there)
            begun[f"{node['NodeManagerAddress']} ({node['NodeID'][:6]})"] = task.remote()
        return {name: _result(one) for name, one in begun.items()}


def _result(begun: Any) -> Any:
    try:
        return ray.get(begun)
    except RayTaskError as error:
        return reason(error.cause or error)
    except RayError as error:
        return explained(error)
