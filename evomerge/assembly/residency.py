"""Where a campaign's workers keep its parents: planned from their sizes, before a search and on the worker."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from evomerge.assembly.gpus import device_of, gpus_each
from evomerge.config import CampaignConfig
from search_spaces.parents.parents import Parents

if TYPE_CHECKING:
    import torch

    from search_spaces.residency.planner import Residency
    from search_spaces.residency.supply import Supply

# Bytes of GPUs by Ray's names of them, the smaller where a name has two; what is not named is taken for one of 80 GB.
_GIB = 2**30
_VRAM_GIB = {
    "T4": 15, "V100": 16, "L4": 22, "A10G": 22, "A100": 40, "A100-40G": 40, "L40S": 45,
    "A100-80G": 80, "H100": 80, "H200": 140, "B200": 180,
}  # fmt: skip
_UNKNOWN_GIB = 80


@dataclass(frozen=True)
class Foreseen:
    """Where the workers will keep the parents, as far as it can be told from here.

    Attributes:
        residency: the way that parents take, and what it needs.
        device: what it was planned for, in words.
        processors: of one worker; GPUs where it has any, else cores; None where nobody said how many cores.
    """

    residency: Residency
    device: str
    processors: float | None


def foreseen(config: CampaignConfig, parents: Parents) -> Foreseen:
    """Return where the workers will keep the parents: measured on this machine, or after the name of their GPUs."""
    import torch

    workers = config.workers
    gpus, name = gpus_each(config), workers.accelerator
    if not gpus:
        return Foreseen(_planned(config, parents, None), "CPU", workers.cpus)
    if torch.cuda.is_available() and name is None:
        name, vram = torch.cuda.get_device_name(), torch.cuda.mem_get_info()[0]
    else:
        vram = _GIB * _VRAM_GIB.get((name or "").upper(), _UNKNOWN_GIB)
        name = f"{name or 'a GPU'}, taken to have {vram / _GIB:.0f} GiB"
    return Foreseen(_planned(config, parents, int(vram * min(1.0, gpus))), name, gpus)


def supply_of(config: CampaignConfig, parents: Parents) -> Supply | None:
    """Return where a worker's parents come from, to be called before its model is made; None: their files, on the CPU.

    Raises:
        SpaceError: parents that are to be streamed do not fit the host's shared memory.
    """
    import torch

    from fitness.engine.model.memory import room_on
    from search_spaces.residency.host_memory import HostMemory
    from search_spaces.residency.supply import Mapped, Resident, Streamed

    device = device_of(config)
    if device.type == "cpu" and config.workers.parents == "auto":
        return None
    vram = None
    if device.type == "cuda":
        device = torch.device("cuda", torch.cuda.current_device())
        vram = room_on(device)[0]
    match _planned(config, parents, vram).mode:
        case "resident":
            return Resident(device)
        case "streamed":
            return Streamed(device, HostMemory(pinned=device.type == "cuda"))
    return Mapped(device)


def _planned(config: CampaignConfig, parents: Parents, vram: int | None) -> Residency:
    from math import prod

    import torch

    from search_spaces.parents.checkpoint_files import ADAPTER_WEIGHTS
    from search_spaces.residency.host_memory import shareable_bytes
    from search_spaces.residency.planner import Room, planned_residency

    base = parents[config.base_name]
    computed: torch.dtype = getattr(torch, config.engine.dtype)
    full, adapters = dict[str, int](), 0
    for checkpoint in parents.checkpoints.values():
        own = 0
        if checkpoint.adapter is not None:
            own = (checkpoint.adapter.files.directory / ADAPTER_WEIGHTS).stat().st_size
        full[str(checkpoint.directory)] = checkpoint.size_bytes - own
        adapters += own
    memory = config.engine.memory
    room = Room(
        vram=vram,
        host=shareable_bytes(),
        candidate=sum(prod(base.shape(name)) for name in base.names) * computed.itemsize,
        parents=sum(full.values()),
        adapters=adapters,
        engine=(0 if vram is None else vram // 4) if memory is None else memory,
    )
    forced = config.workers.parents
    return planned_residency(room, None if forced == "auto" else forced)
