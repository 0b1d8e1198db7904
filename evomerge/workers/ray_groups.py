"""What a worker reserves on several nodes: a placement group of Ray's, whole or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from evomerge.workers.ray_cluster import ray


def reserved(bundles: Sequence[dict[str, float]]) -> tuple[Any, Any]:
    """Reserve bundles on as few nodes as have room, now or once they come; nobody waits for them here.

    Returns:
        The group, and what places an actor in its first bundle, and in the others whatever that one starts.
    """
    from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

    group = ray.util.placement_group(list(bundles), strategy="PACK")
    strategy = PlacementGroupSchedulingStrategy(
        group, placement_group_bundle_index=0, placement_group_capture_child_tasks=True
    )
    return group, strategy


def nodes_of_group(group: Any) -> set[str]:
    """Return Ray's ids of the nodes that the bundles of a group lie on once it is placed; none of no group."""
    return set() if group is None else set(ray.util.placement_group_table(group)["bundles_to_node_id"].values())


def release(group: Any) -> None:
    """Give back what was reserved, if anything was."""
    if group is not None:
        ray.util.remove_placement_group(group)
