"""How many threads a worker may use, so that all workers together never ask for more than the machine's cores."""

from __future__ import annotations

import os
from pathlib import Path

# What reads them: torch and MKL; numpy's OpenBLAS; tokenizers.
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS")


def threads_per_worker(count: int, cpus: float | None, cores: int) -> int:
    """Return the threads of one worker: the cores it reserved (`cpus`), or an even share of the cores; at least 1."""
    return max(1, cores // count if cpus is None else int(cpus))


def available_cores(cgroup: Path = Path("/sys/fs/cgroup")) -> int:
    """Return the cores this process may use, at least 1: its affinity, and its container's CPU quota rounded down."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for quota, period in _quotas(cgroup):
        if quota > 0:
            cores = min(cores, quota // period)
    return max(1, cores)


def _quotas(cgroup: Path) -> list[tuple[int, int]]:
    """Read (quota, period) in microseconds; cgroup v2 writes both in one file ("max" = no limit), v1 one in each."""
    version_2 = cgroup / "cpu.max"
    version_1 = cgroup / "cpu"
    quotas = []
    if version_2.is_file():
        quota, period = version_2.read_text().split()
        quotas.append((0 if quota == "max" else int(quota), int(period)))
    if (version_1 / "cpu.cfs_quota_us").is_file():
        texts = ((version_1 / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        quota_1, period_1 = (int(text) for text in texts)
        quotas.append((quota_1, period_1))
    return quotas
