"""From a campaign file to the objects that carry it out."""

from evomerge.assembly.building import build_parts
from evomerge.assembly.informed import with_noted_statistics, with_statistics
from evomerge.assembly.live_models import with_compute_dtype
from evomerge.assembly.parts import Parts
from evomerge.assembly.pool import MakeWorker, build_pool, build_worker

__all__ = [
    "MakeWorker",
    "Parts",
    "build_parts",
    "build_pool",
    "build_worker",
    "with_compute_dtype",
    "with_noted_statistics",
    "with_statistics",
]
