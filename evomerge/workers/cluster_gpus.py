"""What GPUs a cluster has, asked before its workers start."""

from __future__ import annotations

import contextlib

from evomerge.workers.ray_cluster import connect, ray


def gpus_of_cluster(address: str) -> float:
    """Return how many GPUs the nodes of a running Ray cluster have together; it is left as it was.

    Raises:
        WorkerSetupError: nothing answers at the address.
    """
    from pathlib import Path

    with contextlib.ExitStack() as closing:
        connect(closing, address, Path())
        return sum(float(node["Resources"].get("GPU", 0.0)) for node in ray.nodes() if node["Alive"])
