"""How many threads a worker may use, so that all workers together never ask for more than the machine gives."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

# What reads them: torch and MKL; numpy's OpenBLAS; tokenizers.
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS")


def threads_per_worker(count: int, cpus: float | None, cores: int, environment: Mapping[str, str] = os.environ) -> int:
    """Return the threads of one of `count` workers, at least 1.

    As many as the cores that it reserved (`cpus`); without, an even share of the cores, but no more than
    OMP_NUM_THREADS where that is set.
    """
    share = cores // count if cpus is None else int(cpus)
    said = environment.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return max(1, min(share, int(said)) if cpus is None and said.isdecimal() else share)


def threads_here(
    present: int, count: int, cpus: float | None, cores: int, environment: Mapping[str, str] = os.environ
) -> int:
    """Return the threads of this process, one of `count` that share the cores, at least 1.

    As many as the cores that it reserved (`cpus`); without, as torch has at `present`, but no more than its share,
    unless OMP_NUM_THREADS has fixed the number.
    """
    if cpus is not None:
        return max(1, int(cpus))
    return present if environment.get("OMP_NUM_THREADS") else max(1, min(present, cores // count))


def allowed_cpus() -> frozenset[int]:
    """Return the numbers of the CPUs that this process may run on: its affinity, where the system has such."""
    if hasattr(os, "sched_getaffinity"):
        return frozenset(os.sched_getaffinity(0))
    return frozenset(range(os.cpu_count() or 1))


def available_cores(cgroup: Path = Path("/sys/fs/cgroup"), membership: Path = Path("/proc/self/cgroup")) -> int:
    """Return the cores this process may use, at least 1: its affinity, and its CPU quotas rounded down.

    Args:
        cgroup: where the system shows control groups, of version 1 or 2; all that this process is in, and all above
            them, may have a quota.
        membership: the file that says which of them it is in.
    """
    quotas = [quota for directory in _groups(cgroup, membership) if (quota := _quota(directory)) is not None]
    return max(1, min([len(allowed_cpus()), *map(int, quotas)]))


def _groups(cgroup: Path, membership: Path) -> Iterator[Path]:
    """Yield the directories of groups, outermost ones too, that rule over this process's CPUs."""
    roots = {"": cgroup, "cpu": cgroup / "cpu"}  # of version 2, which names no controllers, and of version 1
    yield from roots.values()
    for line in _text(membership).splitlines():
        _, controllers, path = (*line.split(":", 2), "", "")[:3]
        root = roots.get("cpu" if "cpu" in controllers.split(",") else controllers)
        if root is not None and ".." not in path:  # a container does not see what lies above
            group = PurePosixPath(path.lstrip("/"))
            yield from (root / part for part in (group, *group.parents) if part.parts)


def _quota(directory: Path) -> float | None:
    """Return the CPUs that a group may use; None = no limit. Version 2 says it in one file, version 1 in two."""
    words = _text(directory / "cpu.max").split()
    words = words or [word for name in ("quota", "period") for word in _text(directory / f"cpu.cfs_{name}_us").split()]
    try:
        quota, period = map(int, words)
    except ValueError:  # "max", or nothing that is known
        return None
    return quota / period if quota > 0 and period > 0 else None


def _text(file: Path) -> str:
    """Return what a file of the system says; nothing where it cannot be read."""
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
