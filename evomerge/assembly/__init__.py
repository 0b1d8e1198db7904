"""From a campaign file to the objects that carry it out."""

from evomerge.assembly.parts import MakeWorker, Parts, build_parts, build_pool, build_worker

__all__ = ["MakeWorker", "Parts", "build_parts", "build_pool", "build_worker"]
