"""What a search costs on this machine: time, memory and disk, measured on three candidates."""

from __future__ import annotations

import math
import resource
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from evomerge.api.sections import Given
from evomerge.assembly import Parts, build_worker
from evomerge.assembly.descent_cost import DescentCost, descent_cost
from evomerge.assembly.informed import gathering
from evomerge.campaign import CampaignError
from evomerge.candidate import Candidate, Failure
from evomerge.config import CampaignConfig
from evomerge.optimisers.gradient.options import Descending
from evomerge.workers.sharing import sharing_cores


@dataclass(frozen=True)
class Kept:
    """Decompositions of the experts that spectral operators keep on disk.

    Attributes:
        bytes: about; of all experts.
        limit: bytes that are kept at most.
        directory: where.
    """

    bytes: int
    limit: int
    directory: Path


@dataclass(frozen=True)
class Reading:
    """The pass of parents over prompts, for operators that read statistics of them; once, before all candidates.

    Attributes:
        seconds: measured here; 0.0 where nothing was left to collect.
        read: parent -> what it reads, in words.
        bytes: on disk; of all parents.
        memory_bytes: at most, beside the model, while they are collected.
        directory: where they are kept.
    """

    seconds: float
    read: Mapping[str, str]
    bytes: int
    memory_bytes: int
    directory: Path


@dataclass(frozen=True)
class Cost:
    """What a search costs here, measured on three candidates.

    Attributes:
        first_seconds: of the first candidate, with all preparation.
        seconds: of every further one.
        total_seconds: of the whole search on its workers.
        evaluations: candidates in all.
        workers: how many.
        memory_bytes: of a worker, at its peak.
        export_bytes: of one exported checkpoint.
        free_bytes: of the disk here.
        kept: what spectral operators keep on disk; None where there are none.
        reading: what operators that read statistics cost; None where there are none.
        descent: what an optimiser or a warm start of kind gradient takes, which `total_seconds` holds; else None.
    """

    first_seconds: float
    seconds: float
    total_seconds: float
    evaluations: int
    workers: int
    memory_bytes: int
    export_bytes: int
    free_bytes: int
    kept: Kept | None = None
    reading: Reading | None = None
    descent: DescentCost | None = None


def measure(parts: Parts, given: Given, say: Callable[[str], object] = str) -> Cost:
    """Score three candidates here: the first two prepare everything once, the third shows the price of all others.

    `say` is told what is being done.
    """
    with sharing_cores(parts.config.workers.count, parts.config.workers.cpus):
        return _measured(parts, given, say)


def _measured(parts: Parts, given: Given, say: Callable[[str], object]) -> Cost:
    parts, reading = _read(parts)
    config, space, worker = parts.config, parts.space, build_worker(parts)
    own, descent = given.optimiser_of(space), descent_cost(parts)
    proposed = [] if isinstance(config.optimiser, Descending) else (parts.optimiser() if own is None else own).ask(3)
    recipes = [*map(space.decode, proposed), *(landmark.recipe for landmark in space.landmarks())][:3]
    seconds = []
    for number, recipe in enumerate(recipes):
        say(f"scoring candidate {number + 1} of {len(recipes)}{', with all preparation' if number == 0 else ''}")
        done = worker.evaluate(Candidate(number, recipe), parts.search_budget)
        if isinstance(done, Failure):
            raise CampaignError(f"a candidate cannot be scored, at stage {done.stage}: {done.reason}")
        seconds.append(done.seconds)
    base = parts.parents[config.base_name]
    n_weights = sum(math.prod(base.shape(name)) for name in base.names)
    evaluations, workers = config.budget.evaluations, config.workers.most
    before = (0.0 if reading is None else reading.seconds) + (0.0 if descent is None else descent.total_seconds)
    return Cost(
        seconds[0],
        seconds[2],
        before + seconds[0] + seconds[2] * (evaluations - 1) / workers,
        evaluations,
        workers,
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        n_weights * (4 if config.export.dtype == "float32" else 2),
        shutil.disk_usage(".").free,
        _kept(config, parts),
        reading,
        descent,
    )


def _read(parts: Parts) -> tuple[Parts, Reading | None]:
    """Gather statistics of the parents, as the search will, and return what that takes."""
    from search_spaces.cache_directory import cache_directory

    given, said = gathering(parts), list[str]()
    if given is None:
        return parts, None
    began = time.perf_counter()
    found = given.gather(say=said.append)
    seconds = time.perf_counter() - began if said else 0.0
    directory = cache_directory("statistics")
    size = sum(file.stat().st_size for digest in found.digests.values() for file in (directory / digest).iterdir())
    read = {name: given.in_words(name, found.owners) for name in found.digests}
    return replace(parts, statistics=found), Reading(seconds, read, size, given.memory_bytes(), directory)


def _kept(config: CampaignConfig, parts: Parts) -> Kept | None:
    """Return what spectral operators of the space will keep on disk."""
    from search_spaces.cache_directory import cache_directory
    from search_spaces.merging.factors import full_bytes, limit_from_environment
    from search_spaces.operators.registry import find_operator

    if not any(find_operator(name).spectral for name in getattr(config.space, "operator", ())):
        return None
    experts = [parent for name, parent in parts.parents.checkpoints.items() if name != config.base_name]
    limit = limit_from_environment()
    return Kept(min(limit, sum(map(full_bytes, experts))), limit, cache_directory("factors"))
