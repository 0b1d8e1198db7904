"""How many GPUs each worker has: decided here, and nowhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evomerge.config import CampaignConfig
from evomerge.errors import require

if TYPE_CHECKING:
    import torch


def gpus_each(config: CampaignConfig) -> float:
    """Return the GPUs of each worker, 0.5 = a half of one: as asked, else as many as its engine computes on.

    Those of a cluster, where nobody says, are asked of the cluster, whatever this process's machine has.

    Raises:
        WorkerSetupError: nothing answers at the cluster's address.
    """
    workers = config.workers
    if workers.gpus is not None:
        return workers.gpus if workers.backend == "ray" or _here() else 0.0
    # An accelerator is that of nodes that may come later.
    there = workers.accelerator is not None or _here() or (workers.address is not None and _in_cluster(workers.address))
    return float(config.engine.devices) if there else 0.0


def device_of(config: CampaignConfig) -> torch.device:
    """Return where this process computes: on the GPU that it sees, if its workers are to have any."""
    import torch

    return torch.device("cuda" if config.workers.gpus != 0 and _here() else "cpu")


def take_share(config: CampaignConfig) -> None:
    """Keep this process within its share of a GPU that it is given a part of, for as long as it lives."""
    import torch

    share = config.workers.gpus
    if share is not None and share < 1 and device_of(config).type == "cuda":
        torch.cuda.set_per_process_memory_fraction(share)


def _here() -> bool:
    import torch

    return torch.cuda.is_available()


def _in_cluster(address: str) -> bool:
    require("ray", "ray")
    from evomerge.workers.cluster_gpus import gpus_of_cluster

    return gpus_of_cluster(address) > 0
