"""Whether a cluster has room for the workers: what it never can give is refused at once, not waited for."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from evomerge.workers.errors import WorkerSetupError


def check_room(nodes: Sequence[Mapping[str, float]], count: int, *, cpus: float, gpus: float) -> None:
    """Check that the nodes together have room for `count` workers; a worker cannot span nodes.

    Args:
        nodes: each node's resources, `CPU` and `GPU`.
        count: the number of workers.
        cpus: CPU cores reserved for each worker; 0 for none.
        gpus: GPUs reserved for each worker; may be a fraction.

    Raises:
        WorkerSetupError: there is room for fewer; the message says what was asked and what is there.
    """
    needs = {name: amount for name, amount in {"CPU": cpus, "GPU": gpus}.items() if amount}
    # Ray counts resources in units of 1/10000.
    fits = [
        min((math.floor(node.get(name, 0.0) / amount + 1e-6) for name, amount in needs.items()), default=count)
        for node in nodes
    ]
    if sum(fits) < count:
        found = " + ".join(f"({amounts(node)})" for node in nodes) or "no node"
        raise WorkerSetupError(
            f"workers: expected room for {count} of ({amounts(needs)}) each, found room for {sum(fits)} in {found}; "
            "lower workers.count, workers.cpus or workers.gpus"
        )


def amounts(resources: Mapping[str, float]) -> str:
    """Return e.g. `2 CPU, 0.5 GPU`."""
    return ", ".join(f"{resources.get(name, 0.0):g} {name}" for name in ("CPU", "GPU"))
