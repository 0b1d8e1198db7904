"""The floor that merges are measured against: copying as many bytes as they read and write."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

import evomerge as em
from search_spaces import Parents, ResidentModel, output_names
from search_spaces.merging.plan import plan_tensors


def traffic(recipe: em.Recipe, parents: Parents, model: ResidentModel) -> int:
    """Return the bytes that a merge reads from the parents and writes to the live model."""
    read, written = 0, 0
    for name, plan in plan_tensors(recipe, parents, output_names(recipe, parents)).items():
        sources = {*plan.sources, *([plan.base] if plan.base else [])}
        read += sum(parents[parent].tensor(source).nbytes for parent, source in sources)
        written += parents["base"].tensor(name).numel() * next(model.model.parameters()).element_size()
    return read + written


def copy_seconds(n_bytes: int) -> float:
    """Return how long copying takes that reads and writes `n_bytes` together, in turns of up to 256 MiB."""
    half = n_bytes // 2
    source, target = (torch.ones(min(half, 1 << 28), dtype=torch.uint8) for _ in range(2))

    def copy() -> None:
        for _ in range(half // len(source)):
            target.copy_(source)
        rest = half % len(source)
        target[:rest].copy_(source[:rest])

    return seconds_of(copy)


def seconds_of(work: Callable[[], object]) -> float:
    """Return how long a call takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
