"""What this machine has, and what of it lies outside the range that evomerge was tested with."""

from __future__ import annotations

import contextlib
import math
import os
import platform
import shutil
import timeit
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Literal

from packaging.requirements import Requirement
from packaging.version import Version

Status = Literal["ok", "warn", "missing"]

PYTHON = "3.11"
# The newest versions that the tests pass with; the oldest are the package's own requirements. A test compares these
# with constraints.txt.
TESTED: Mapping[str, str] = {
    "torch": "2.13.0",
    "transformers": "5.23.0",
    "tokenizers": "0.23.3",
    "safetensors": "0.8.0",
    "datasets": "5.2.0",
    "lm-eval": "0.4.13",
    "cma": "4.5.0",
    "pymoo": "0.6.2",
    "ray": "2.60.0",
    "numpy": "2.4.6",
    "scipy": "1.17.1",
    "pydantic": "2.14.3",
    "typer": "0.29.2",
    "rich": "15.0.0",
    "plotly": "7.1.0",
    "pandas": "3.1.1",
    "matplotlib": "3.11.2",
    "jinja2": "3.1.6",
    "huggingface-hub": "2.4.0",
    "moocore": "0.3.2",
    "packaging": "26.3",
    "pyyaml": "6.0.3",
    "regex": "2026.11.15",
    "py3langid": "0.4.0",
    "starlette": "1.10.0",
    "uvicorn": "0.54.0",
}
# The extras of parts that a user may leave out.
OPTIONAL = ("lm-eval", "ray", "png", "notebook", "studio", "languages")
MEMORY_GIB = 4.0
DISK_GIB = 10.0


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        subject: what.
        status: ok; warn: it may not work as tested; missing: it will not work.
        found: what there is.
        advice: what to do; empty when there is nothing to do.
        free_bytes: of memory.
        gpu_bytes: of a GPU's memory.
    """

    subject: str
    status: Status
    found: str
    advice: str = ""
    free_bytes: float = 0.0
    gpu_bytes: float = 0.0


def doctor(directory: Path = Path()) -> list[Finding]:
    """Return what this machine has, and what of it lies outside the range that evomerge was tested with.

    >>> import evomerge as em
    >>> [finding.found for finding in em.doctor() if finding.status == "missing"]
    []

    Args:
        directory: the disk that holds it is looked at.
    """
    return [_python(), *_packages(), _cpu(), *_gpus(), _memory(), _disk(directory)]


def verdict(findings: Sequence[Finding]) -> str:
    """Return in one sentence what a machine is good for, and what to do next, by what `doctor` found there.

    A worker's model takes 2 bytes a parameter in bfloat16, as on GPUs, and 4 in float32; parents are mapped. A half of
    what there is is left to scoring, merging and all else.
    """
    missing = [finding for finding in findings if finding.status == "missing"]
    if missing:
        found = ", ".join(f"{finding.subject} is {finding.found}" for finding in missing)
        return f"Not ready: {found}; {missing[0].advice}, then ask again."
    gpus = [finding for finding in findings if finding.gpu_bytes]
    cores, _, faster = next((f.found for f in findings if f.subject == "cpu"), "a CPU").partition("; ")
    memory = next((f.free_bytes for f in findings if f.subject == "memory"), 0.0)
    if gpus:
        least = min(gpu.gpu_bytes for gpu in gpus)
        number = "a GPU" if len(gpus) == 1 else f"{len(gpus)} GPUs"
        has, size = f"{number} of {least / 2**30:.0f} GiB", f"{_largest(least / 2, 2)} in bfloat16"
    else:
        has = f"{cores} and {memory / 2**30:.0f} GiB of free memory" if memory else cores
        dtype, each = ("bfloat16", 2) if faster.startswith("bfloat16") else ("float32", 4)
        size = f"{_largest(memory / 2, each)} in {dtype}" if memory else ""
    models = f"models up to about {size}" if size else "models that fit into its memory"
    warned = [finding.subject for finding in findings if finding.status == "warn"]
    but = f", though {' and '.join(warned)} may not work as tested" if warned else ""
    several = len(gpus) > 1 and _is_missing(findings, "ray")
    then = "for all GPUs pip install 'evomerge[ray]'" if several else "next: evomerge init MODEL MODEL"
    return f"Ready{but}: {has}, for {models} a worker; {then}."


def _largest(n_bytes: float, bytes_each: int) -> str:
    """Return how many parameters of so many bytes fit, in words, to one digit: never more than fit."""
    n = n_bytes / bytes_each
    unit, name = (1e9, "B") if n >= 1e9 else (1e6, "M")
    digits = 10 ** math.floor(math.log10(max(n / unit, 1.0)))
    return f"{math.floor(n / unit / digits) * digits:g}{name}"


def _is_missing(findings: Sequence[Finding], subject: str) -> bool:
    return any(finding.subject == subject and finding.found == "not installed" for finding in findings)


def versions() -> dict[str, str]:
    """Return program -> version, for the record of a campaign: Python and every installed package of `TESTED`."""
    found = {"python": platform.python_version()}
    for name in TESTED:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def _python() -> Finding:
    found = platform.python_version()
    if found.startswith(f"{PYTHON}."):
        return Finding("python", "ok", found)
    return Finding("python", "warn", found, f"tested with {PYTHON}")


def _packages() -> Iterator[Finding]:
    for text in metadata.requires("evomerge") or []:
        requirement = Requirement(text)
        for extra in ("", *OPTIONAL) if requirement.marker else ("",):
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                yield package_finding(requirement, TESTED.get(requirement.name.lower()), extra)


def package_finding(requirement: Requirement, tested: str | None, extra: str = "") -> Finding:
    """Compare the installed version with what is required and with the newest that was tested (None: none was).

    A package of an extra may be missing.
    """
    name = requirement.name
    wanted = f"{name}{requirement.specifier}"
    try:
        found = Version(metadata.version(name))
    except metadata.PackageNotFoundError:
        if extra:
            return Finding(name, "ok", "not installed", f"optional: pip install 'evomerge[{extra}]'")
        return Finding(name, "missing", "not installed", f"pip install '{wanted}'")
    if not requirement.specifier.contains(found, prereleases=True):
        return Finding(name, "warn", str(found), f"evomerge needs {requirement.specifier}: pip install '{wanted}'")
    if tested is not None and found.release[:2] > Version(tested).release[:2]:
        return Finding(name, "warn", str(found), f"newer than {tested}, the newest that was tested")
    return Finding(name, "ok", str(found))


def _cpu() -> Finding:
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    seconds = _matmul_seconds()
    if not seconds:
        return Finding("cpu", "ok", f"{usable} cores")
    fast, slow = sorted(seconds, key=lambda dtype: seconds[dtype])
    return Finding(
        "cpu", "ok", f"{usable} cores; {fast} multiplies {seconds[slow] / seconds[fast]:.1f}x as fast as {slow}"
    )


def _matmul_seconds() -> dict[str, float]:
    """Return the best time of a small matrix product by dtype; empty without torch.

    Measured, because neither the processor's name nor its flags tell which dtype torch is faster in.
    """
    try:
        import torch
    except ImportError:
        return {}
    seconds = {}
    for dtype in (torch.float32, torch.bfloat16):
        square = partial(torch.matmul, *[torch.ones(512, 512, dtype=dtype)] * 2)
        seconds[str(dtype).removeprefix("torch.")] = min(timeit.repeat(square, number=1, repeat=10))
    return seconds


def _gpus() -> Iterator[Finding]:
    try:
        import torch
    except ImportError:
        return  # the packages' findings say so
    if not torch.cuda.is_available():
        yield Finding("gpu", "ok", "none that torch can use; candidates are scored on the CPU")
        return
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        size = float(properties.total_memory)
        yield Finding(f"gpu {index}", "ok", f"{properties.name}, {size / 2**30:.0f} GiB", gpu_bytes=size)


def _memory() -> Finding:
    file = Path("/proc/meminfo")  # Linux's; it counts in KiB
    lines = [line.split() for line in file.read_text().splitlines()] if file.exists() else []
    available = next((int(line[1]) / 2**20 for line in lines if line[0] == "MemAvailable:"), None)
    if available is None:
        return Finding("memory", "warn", "unknown", "this system does not say how much is free")
    found, free = f"{available:.1f} GiB free", available * 2**30
    if available >= MEMORY_GIB:
        return Finding("memory", "ok", found, free_bytes=free)
    advice = f"a worker holds one model and maps its parents; have {MEMORY_GIB:g} GiB"
    return Finding("memory", "warn", found, advice, free_bytes=free)


def _disk(directory: Path) -> Finding:
    free = shutil.disk_usage(directory).free / 2**30
    found = f"{free:.1f} GiB free at {directory.absolute()}"
    if free >= DISK_GIB:
        return Finding("disk", "ok", found)
    return Finding("disk", "warn", found, f"an export needs the size of a parent; have {DISK_GIB:g} GiB")
