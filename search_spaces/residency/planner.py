"""Which way parents take to the device that merges them: a choice that follows from sizes alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Mode = Literal["resident", "streamed", "mapped"]

# Bytes a second from pinned memory over PCIe 5 x16, and from pages that are not pinned: assumed, not measured.
PINNED_BYTES_PER_SECOND = 50e9
MAPPED_BYTES_PER_SECOND = 10e9

# What a merge makes on the device beside weights: a dozen float32 blocks, counts of elements, and a tensor read ahead.
WORKSPACE_BYTES = 2 * 2**30

_HOST_SHARE = 0.8  # of the host's memory that pinned parents may take: what is pinned is lost to everybody else


@dataclass(frozen=True)
class Room:
    """What a worker's device and its host have, and what is to fit, in bytes.

    Attributes:
        vram: free on the device before the candidate is there; None where a CPU merges.
        host: available in the memory that a node's workers share.
        candidate: the live model.
        parents: every full checkpoint, the base included; what lies under adapters counts once.
        adapters: the LoRA factors of all parents.
        engine: what scoring is to have on the device.
    """

    vram: int | None
    host: int
    candidate: int
    parents: int
    adapters: int
    engine: int


@dataclass(frozen=True)
class Residency:
    """The way that parents take, and what it needs.

    Attributes:
        mode: resident: they lie on the device; streamed: in pinned memory of the host, which a node's workers share,
            and are copied one ahead of another; mapped: in their files, which the host's page cache holds.
        reason: one sentence.
        vram_bytes: on the device, everything included; 0 where a CPU merges.
        host_bytes: of the host's memory, for all workers of a node together.
        copy_seconds: about, for a candidate in which every weight changes; modelled.
    """

    mode: Mode
    reason: str
    vram_bytes: int
    host_bytes: int
    copy_seconds: float


def planned_residency(room: Room, forced: Mode | None = None) -> Residency:
    """Return the fastest way that fits, or the one that is asked for.

    >>> eight_billion = 16 * 10**9
    >>> h100 = Room(80 * 10**9, 10**12, eight_billion, 4 * eight_billion, 0, 20 * 10**9)
    >>> planned_residency(h100).mode
    'streamed'
    """
    ways = {mode: _way(mode, room) for mode in ("resident", "streamed", "mapped")}
    if forced is not None:
        return _because(ways[forced], "as workers.parents says")
    if room.vram is None:
        return _because(ways["mapped"], "merges run on the CPU, straight from the parents' files")
    resident, streamed = ways["resident"], ways["streamed"]
    fits = f"{_gb(resident.vram_bytes)} with parents, candidate and scoring"
    if resident.vram_bytes <= room.vram:
        return _because(resident, f"{fits}, of {_gb(room.vram)} on the device")
    too_large = f"{fits} do not fit {_gb(room.vram)} on the device"
    if streamed.host_bytes <= _HOST_SHARE * room.host:
        return _because(streamed, f"{too_large}, but the parents fit the host's memory")
    return _because(
        ways["mapped"],
        f"{too_large}, and {_gb(streamed.host_bytes)} of parents no {_HOST_SHARE:.0%} of the host's {_gb(room.host)}",
    )


def _way(mode: Mode, room: Room) -> Residency:
    on_device = room.candidate + room.adapters + room.engine + WORKSPACE_BYTES
    vram = on_device + (room.parents if mode == "resident" else 0)
    rate = MAPPED_BYTES_PER_SECOND if mode == "mapped" else PINNED_BYTES_PER_SECOND
    seconds = 0.0 if mode == "resident" or room.vram is None else room.parents / rate
    # What is resident passes through the page cache once.
    host = 0 if mode == "resident" and room.vram is not None else room.parents + room.adapters
    return Residency(mode, "", 0 if room.vram is None else vram, host, seconds)


def _because(way: Residency, reason: str) -> Residency:
    return Residency(way.mode, reason, way.vram_bytes, way.host_bytes, way.copy_seconds)


def _gb(size: int) -> str:
    return f"{size / 1e9:.1f} GB"
