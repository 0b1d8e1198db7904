"""From a campaign file to the objects that carry it out."""

from evomerge.assembly.building import build_parts
from evomerge.assembly.informed import with_noted_statistics, with_statistics
from evomerge.assembly.parts import Parts
from evomerge.assembly.pool import MakeWorker, build_pool, build_worker
from evomerge.assembly.settled import asked_in_chat, settled

__all__ = [
    "MakeWorker",
    "Parts",
    "asked_in_chat",
    "build_parts",
    "build_pool",
    "build_worker",
    "settled",
    "with_noted_statistics",
    "with_statistics",
]
