"""One merge to disk: seconds of `evomerge merge`, against reading the parents and writing the result once.

usage: python -m experiments.benchmarks.single_merge [--operators NAME ...] [--random 1.1B] [--repeats N] [--threads N]
           [--command] [--json]

Parents are those of `materialise.py`. The floor is the time, in the same run, of reading all bytes of the parents'
files and writing (and syncing) a file of the result's size, by plain calls of 16 MiB, which one thread does. Everything
is read once before, so that floor and merges find the parents in the page cache if memory holds them. Seconds are of
`export`, imports excluded, median over the repeats; --command also runs the whole command in a process of its own,
imports included. Processor seconds are all threads' together.

Asked on two idle cores: at most 3 times the floor for elementwise operators. Measured (2026-11-22, --repeats 3
--threads 2, floor 0.9 to 1.4 s): linear 1.0, task arithmetic 0.6, MagMax 1.7, DARE 1.9 and 2.1. With a pass of its
own for thresholds or norms: TIES 3.1, DARE with l1 3.2 and 3.3, SCE 3.3, Breadcrumbs 3.7 and 3.8. DELLA, which
ranks every element: 9 to 11.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

import evomerge as em
from experiments.benchmarks.copying import seconds_of
from experiments.benchmarks.materialise import PARENTS, opened_parents
from search_spaces import Parents, export

_SPARSE: Mapping[str, float | str] = {"weight": 0.5, "density": 0.3}
_OUTLIERS: Mapping[str, float | str] = {**_SPARSE, "gamma": 0.01}

# What a row is called -> (operator, each expert's parameters, the operator's own); l1 is mergekit's default.
CASES: Mapping[str, tuple[str, Mapping[str, float | str], Mapping[str, float | str]]] = {
    "linear": ("linear", {"weight": 0.5}, {}),
    "task_arithmetic": ("task_arithmetic", {"weight": 0.5}, {}),
    "ties": ("ties", _SPARSE, {}),
    "dare_linear": ("dare_linear", _SPARSE, {}),
    "dare_linear, l1": ("dare_linear", _SPARSE, {"rescale": "l1"}),
    "dare_ties": ("dare_ties", _SPARSE, {}),
    "dare_ties, l1": ("dare_ties", _SPARSE, {"rescale": "l1"}),
    "della_linear": ("della_linear", _SPARSE, {}),
    "della": ("della", _SPARSE, {}),
    "della, l1": ("della", _SPARSE, {"rescale": "l1"}),
    "breadcrumbs": ("breadcrumbs", _OUTLIERS, {}),
    "breadcrumbs_ties": ("breadcrumbs_ties", _OUTLIERS, {}),
    "sce": ("sce", {}, {"select_topk": 0.3}),
    "magmax": ("magmax", {"weight": 0.5}, {}),
}
_AT_ONCE = 1 << 24


@dataclass(frozen=True)
class Row:
    """One operator."""

    operator: str  # its name, and how it rescales
    seconds: float  # median of one merge, imports excluded
    processor_seconds: float  # likewise, of all threads
    floor_seconds: float  # median of reading and writing the files once
    ratio: float  # seconds / floor_seconds
    command_seconds: float | None  # the whole command, imports included; None if not measured


def measured(case: str, parents: Parents, directory: Path, *, repeats: int, command: bool) -> Row:
    """Merge `repeats` times, the floor before each."""
    recipe = recipe_of(case, parents)
    floor, taken, worked = [], [], []
    for i in range(repeats):
        target = directory / f"merged {i}"
        floor.append(floor_seconds(parents, directory / "floor"))
        began = time.process_time()
        taken.append(seconds_of(lambda target=target: export(recipe, parents, target)))  # type: ignore[misc]
        worked.append(time.process_time() - began)
        shutil.rmtree(target)
    whole = command_seconds(recipe, directory) if command else None
    seconds, least = statistics.median(taken), statistics.median(floor)
    return Row(case, seconds, statistics.median(worked), least, seconds / least, whole)


def recipe_of(case: str, parents: Parents) -> em.Recipe:
    """Return a recipe over all parents but the base, in the dtype that they are stored in."""
    operator, each, own = CASES[case]
    sources = {name: checkpoint.source for name, checkpoint in parents.checkpoints.items()}
    rule = em.Rule(operator, tuple(em.Input(name, each) for name in PARENTS[1:]), own)
    stored = parents["base"].dtype(parents["base"].names[0])
    return em.Recipe(sources, "base", (rule,), dtype="bfloat16" if stored is torch.bfloat16 else "float32")


def floor_seconds(parents: Parents, scratch: Path) -> float:
    """Return how long it takes to read every parent's weights and to write as many bytes as one of them has."""
    buffer = bytearray(_AT_ONCE)

    def read_and_write() -> None:
        for checkpoint in parents.checkpoints.values():
            for path in sorted(checkpoint.directory.glob("*.safetensors")):
                with path.open("rb", buffering=0) as file:
                    while file.readinto(buffer):
                        pass
        rest = parents["base"].size_bytes
        with scratch.open("wb", buffering=0) as file:
            while rest:
                rest -= file.write(memoryview(buffer)[: min(rest, _AT_ONCE)])
            os.fsync(file.fileno())

    seconds = seconds_of(read_and_write)
    scratch.unlink()
    return seconds


def command_seconds(recipe: em.Recipe, directory: Path) -> float:
    """Return how long `evomerge merge` takes as a process of its own, with as many threads as this one."""
    file, target = directory / "recipe.json", directory / "merged"
    file.write_text(recipe.to_json())
    command = [sys.executable, "-m", "evomerge.cli", "merge", str(file), str(target)]
    threads = {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    seconds = seconds_of(
        lambda: subprocess.run(command, check=True, capture_output=True, env={**os.environ, **threads})
    )
    shutil.rmtree(target)
    return seconds


def line(row: Row) -> str:
    """Return a row as text."""
    whole = "" if row.command_seconds is None else f"{row.command_seconds:9.2f}"
    return (
        f"{row.operator:18}{row.seconds:9.2f}{row.processor_seconds:11.2f}{row.floor_seconds:9.2f}{row.ratio:7.2f}"
        f"{whole}"
    )


def main() -> None:
    """Measure the chosen operators and print a table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--operators", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--random", metavar="SIZE", help="random weights instead of SmolLM2, e.g. 1.1B or 50M")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--command", action="store_true", help="also run the whole command")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rows = []
    with opened_parents(options.random) as parents, tempfile.TemporaryDirectory() as directory:
        floor_seconds(parents, Path(directory) / "floor")  # brings the parents into the page cache
        if not options.json:
            print(f"{'operator':18}{'seconds':>9}{'processor':>11}{'floor':>9}{'ratio':>7}{'command':>9}")
        for case in options.operators:
            rows.append(measured(case, parents, Path(directory), repeats=options.repeats, command=options.command))
            if not options.json:
                print(line(rows[-1]), flush=True)
    if options.json:
        measured_how = {"page_cache": True, "threads": options.threads}
        print(json.dumps({**measured_how, "rows": [asdict(row) for row in rows]}, indent=2))


if __name__ == "__main__":
    main()
