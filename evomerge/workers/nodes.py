"""What the nodes of a cluster have and what a worker needs of them; nodes as `ray.nodes()` lists them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evomerge.workers.protocol import WorkerSetupError

Node = Mapping[str, Any]  # with NodeID, Alive, Resources (name -> amount)


@dataclass(frozen=True)
class Need:
    """What one worker reserves of its node, or of several.

    Attributes:
        cpus: cores; 0 reserves none.
        gpus: GPUs, 0.5 = a half of one.
        accelerator: the type of GPU, as Ray calls it (`A100`); None: any.
        across_nodes: whether its GPUs may lie on several nodes; otherwise all are of one.
    """

    cpus: float = 0.0
    gpus: float = 0.0
    accelerator: str | None = None
    across_nodes: bool = False

    @property
    def bundles(self) -> list[dict[str, float]]:
        """What a placement group across nodes reserves: vLLM wants one GPU a bundle. The actor is in the first one."""
        kind = {name: amount for name, amount in self.amounts.items() if name not in ("CPU", "GPU")}
        one = {"GPU": 1.0, **kind}
        return [{"CPU": self.cpus, **one} if self.cpus else one, *[one] * (int(self.gpus) - 1)]

    @property
    def amounts(self) -> dict[str, float]:
        """Resource -> amount, of what is reserved."""
        kind = {} if self.accelerator is None else {f"accelerator_type:{self.accelerator}": 0.001}
        return {name: amount for name, amount in {"CPU": self.cpus, "GPU": self.gpus, **kind}.items() if amount}

    def fit(self, resources: Mapping[str, float], most: int) -> int:
        """Return how many workers, at most `most`, a node with these resources has room for."""
        # Ray counts resources in units of 1/10000.
        fits = (math.floor(resources.get(name, 0.0) / amount + 1e-6) for name, amount in self.amounts.items())
        return min([most, *fits])


def alive(nodes: Sequence[Node]) -> list[Node]:
    """Return the nodes that live."""
    return [node for node in nodes if node["Alive"]]


def neighbours(need: Need, node_id: str, nodes: Sequence[Node], count: int) -> int:
    """Return how many of `count` workers, at least 1, share the cores of a node once all are placed."""
    living = alive(nodes)
    if need.amounts:
        fits = [need.fit(node["Resources"], count) for node in living if node["NodeID"] == node_id]
        return max([1, *fits])
    return max(1, math.ceil(count / max(1, len(living))))


def cores_of(node_id: str, nodes: Sequence[Node]) -> int | None:
    """Return the cores that a node lends to Ray, which may be fewer than it has; None where it names none."""
    found = [node["Resources"].get("CPU", 0.0) for node in nodes if node["NodeID"] == node_id]
    return int(found[0]) or None if found else None


def check_room(nodes: Sequence[Mapping[str, float]], count: int, need: Need) -> None:
    """Check that nodes with these resources together have room for `count` workers, each on one node if it has to."""
    fits = sum(need.fit(node, count) for node in nodes)
    if need.across_nodes:
        one_gpu = Need(0.0, 1.0, need.accelerator)
        fits = int(sum(one_gpu.fit(node, int(node.get("GPU", 0.0))) for node in nodes) // need.gpus)
    if fits < count:
        found = " + ".join(f"({amounts(node)})" for node in nodes) or "no node"
        raise WorkerSetupError(
            f"workers: expected room for {count} of ({amounts(need.amounts)}) each, found room for {fits} in {found}; "
            "lower workers.count, workers.cpus or workers.gpus, or write workers.min and workers.max where nodes "
            "come later"
        )


def amounts(resources: Mapping[str, float]) -> str:
    """Return what there is of cores and GPUs, and of a kind of accelerator, in words."""
    kinds = [name.partition(":")[2] for name in resources if name.startswith("accelerator_type:")]
    return ", ".join([*(f"{resources.get(name, 0.0):g} {name}" for name in ("CPU", "GPU")), *sorted(kinds)])
