"""Materialising a candidate: seconds of `become` with warm caches, against copying as many bytes.

usage: python -m experiments.benchmarks.materialise [--operators NAME ...] [--random 1.1B] [--mergekit PYTHON]
           [--genomes N] [--threads N] [--json] [--many]

Parents are SmolLM2-135M and its three experts (`python -m experiments.smollm train` makes them); --random makes a base
and three others of that many random bfloat16 weights in a temporary directory. Every row is the median over different
genomes of a weight space that searches the operator's parameters, all tensors merged anew. The floor is the time, in
the same run, of copying half as many bytes as the merge reads and writes: a copy reads and writes each of its own.
Spectral operators: their first layer's matrices with factors on disk, and the seconds of computing them anew.
Operators on statistics read random Gram matrices of the layers' inputs; their row says how many times as long as task
arithmetic, in the same run, a candidate takes.
--many measures CPU seconds on 18,867 small tensors instead (`many_tensors`).

Asked on two cores: averages and task arithmetic at most 3 times the floor; TIES, DARE, DELLA, Breadcrumbs and SCE at
most 4 times; TIES at least 80 times faster than mergekit's graph (--mergekit: a Python with mergekit 0.1.5). Measured
(2026-11-22, idle, floor 0.06 to 0.09 s): linear 2.2, task arithmetic 1.8, TIES 2.6, DARE 3.1 and 3.5, DELLA 2.9 and
3.8, Breadcrumbs 2.5 and 2.5, SCE 2.7, MagMax 2.0; TIES 155 times faster than mergekit (0.23 s). DELLA also reads 2
bytes of rank per element and parent, which the floor leaves out: where the floor is at its least its ratio is 4.7.
TIES on 1.1 billion random bfloat16 weights (--random 1.1B --genomes 3), two runs: 2.1 and 2.5 s, 4.4 and 6.1 times the
floor; the first candidate, with its tables of thresholds, 233 to 244 s.
On AVX2 alone (AMD EPYC, one thread, busy machine, 2026-11-30, floor 0.15 to 0.17 s; before, with two threads, the
figures in brackets): TIES 2.5 (9.7), DARE-TIES 2.8 (5), SCE 2.9 (10), DELLA 5.1 (16), MagMax 1.7, linear 1.8 and task
arithmetic 1.3 (4 and less; their floors 1.0 and 1.7 s at a busier moment). First candidates search one threshold: there
is no table before the third density.
RegMean was to take at most 10 times as long as task arithmetic, and does not: on two of SmolLM2's 30 layers, one thread
of a crowded machine (2026-11-30), 0.93 CPU seconds against 0.017, 53 times. Solving and factorising in float64 are 75 %
of it.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch

import evomerge as em
from experiments.benchmarks.copying import copy_seconds, seconds_of, traffic
from experiments.benchmarks.many_tensors import many_row, many_table, parents_of_many
from experiments.benchmarks.mergekit_peer import peer_seconds
from search_spaces import (
    OPERATORS,
    FactorCache,
    Groups,
    MergeMemory,
    Parents,
    ResidentModel,
    WeightSpace,
    build_module,
    n_layers,
    output_names,
)
from search_spaces.merging.materialise import carry_out
from search_spaces.merging.plan import plan_tensors
from search_spaces.operators.kernels.compiled import CompiledKernels
from search_spaces.statistics.store import StatisticsStore

SMOLLM = Path(__file__).parents[1] / "smollm" / "models"
PARENTS = ("base", "arithmetic", "continents", "letters")
ELEMENTWISE = (
    "linear",
    "task_arithmetic",
    "ties",
    "dare_linear",
    "dare_ties",
    "della_linear",
    "della",
    "breadcrumbs",
    "breadcrumbs_ties",
    "sce",
    "magmax",
)
SPECTRAL = ("iso_c", "tsv_m")
ON_STATISTICS = ("regmean",)
SEARCHED_BESIDES = {"lambda": (0.5, 1.5)}  # by operators that have nothing else to search
PEERS = ("task_arithmetic", "ties", "dare_ties")


@dataclass(frozen=True)
class Row:
    """One operator."""

    operator: str  # its name
    seconds: float  # median of one candidate
    floor_seconds: float  # median of the copy; for spectral operators of their layer
    ratio: float  # seconds / floor_seconds
    peer_seconds: float | None  # mergekit's graph, the same recipe; None if not measured
    first_seconds: float  # the first candidate: what is remembered of the parents, and compiling
    recomputed_seconds: float | None = None  # without kept factors; None for elementwise operators
    task_arithmetics: float | None = None  # seconds / those of task arithmetic, for operators on statistics


def elementwise_row(operator: str, model: ResidentModel, parents: Parents, n_genomes: int, peer: Path | None) -> Row:
    """Measure `become` of a live model, and mergekit's graph where it has the operator."""
    first, *recipes = genomes(operator, parents, n_genomes)
    first_seconds = seconds_of(lambda: model.become(first))
    bytes_moved = traffic(first, parents, model)
    floor, taken = [], []
    for recipe in recipes:
        floor.append(copy_seconds(bytes_moved))
        taken.append(seconds_of(lambda recipe=recipe: model.become(recipe)))  # type: ignore[misc]
    theirs = peer_seconds(recipes[0], peer) if peer is not None and operator in PEERS else None
    middle, copied = statistics.median(taken), statistics.median(floor)
    return Row(operator, middle, copied, middle / copied, theirs, first_seconds)


def spectral_row(operator: str, parents: Parents, n_genomes: int) -> Row:
    """Measure the matrices of the first layer, with factors on disk and without."""
    recipes = genomes(operator, parents, n_genomes)
    base = parents["base"]
    names = [n for n in output_names(recipes[0], parents) if ".layers.0." in n and len(base.shape(n)) == 2]

    def merge(recipe: em.Recipe, known: MergeMemory) -> float:
        plans = plan_tensors(recipe, parents, names).values()
        return seconds_of(lambda: [carry_out(plan, parents, memory=known) for plan in plans])

    with tempfile.TemporaryDirectory() as directory:
        kept = MergeMemory(factors=FactorCache(Path(directory)))
        first = merge(recipes[0], kept)
        taken = statistics.median(merge(recipe, kept) for recipe in recipes[1:])
    anew = merge(recipes[1], MergeMemory(factors=FactorCache(limit_bytes=0)))
    read = sum(parents[p].tensor(n).nbytes for p in parents.checkpoints for n in names)
    copied = copy_seconds(read + sum(4 * parents["base"].tensor(n).numel() for n in names))
    return Row(operator, taken, copied, taken / copied, None, first, anew)


def informed_row(operator: str, parents: Parents, n_genomes: int) -> Row:
    """Measure `become` of a live model with random statistics, and of task arithmetic in turn."""
    with tempfile.TemporaryDirectory() as directory:
        store = StatisticsStore(Path(directory, "statistics"))
        digests = write_grams(parents, store)
        memory = MergeMemory(
            kernels=CompiledKernels("always"), statistics=store, factors=FactorCache(Path(directory, "factors"))
        )
        model = ResidentModel(build_module(parents["base"]), parents, memory=memory)
        first, *recipes = (replace(recipe, statistics=digests) for recipe in genomes(operator, parents, n_genomes))
        plain = genomes("task_arithmetic", parents, n_genomes)
        model.become(plain[0])
        first_seconds = seconds_of(lambda: model.become(first))
        bytes_moved = traffic(first, parents, model)
        floor, taken, others = [], [], []
        for recipe, other in zip(recipes, plain[1:], strict=True):
            floor.append(copy_seconds(bytes_moved))
            others.append(seconds_of(lambda other=other: model.become(other)))  # type: ignore[misc]
            taken.append(seconds_of(lambda recipe=recipe: model.become(recipe)))  # type: ignore[misc]
    middle, copied = statistics.median(taken), statistics.median(floor)
    times = middle / statistics.median(others)
    return Row(operator, middle, copied, middle / copied, None, first_seconds, task_arithmetics=times)


def write_grams(parents: Parents, store: StatisticsStore) -> dict[str, str]:
    """Write the Gram matrices of random inputs of every layer's matrices, shared as in Llama; return the digests."""
    generator = torch.Generator().manual_seed(0)
    for parent, checkpoint in parents.checkpoints.items():
        inside = [n for n in checkpoint.names if ".layers." in n and len(checkpoint.shape(n)) == 2]
        shares = {n: re.sub("[qkv]_proj|gate_proj|up_proj", "shared", n) for n in inside}
        sizes = {key: checkpoint.shape(n)[-1] for n, key in shares.items()}
        grams = {}
        for key, n in sizes.items():
            read = torch.randn(n + 64, n, generator=generator)
            grams[key] = read.T @ read / len(read)
        store.write(f"random-{parent}", "gram", grams, shares)
    return {parent: f"random-{parent}" for parent in parents.checkpoints}


def genomes(operator: str, parents: Parents, n: int) -> list[em.Recipe]:
    """Return n + 1 recipes of random genomes of a space that searches the operator's parameters over one group."""
    sources = {name: checkpoint.source for name, checkpoint in parents.checkpoints.items()}
    depth = n_layers(parents["base"].names)
    genes = {n: kind.gene for n, kind in OPERATORS[operator].kinds.items() if kind.searched and kind.gene is not None}
    space = WeightSpace(
        sources, "base", n_layers=depth, operators=[operator], groups=Groups(1), genes=genes or SEARCHED_BESIDES
    )
    rng = np.random.default_rng(0)
    return [space.decode(rng.random(space.dim)) for _ in range(n + 1)]


def table(rows: Sequence[Row]) -> str:
    """Return the rows as text."""
    names = {"seconds": 9, "floor": 9, "ratio": 7, "first": 9, "mergekit": 15, "anew": 9, "task arith.": 13}
    lines = [f"{'operator':18}" + "".join(f"{name:>{width}}" for name, width in names.items())]
    for row in rows:
        peer = "" if row.peer_seconds is None else f"{row.peer_seconds:.2f} ({row.peer_seconds / row.seconds:.0f}x)"
        anew = "" if row.recomputed_seconds is None else f"{row.recomputed_seconds / row.seconds:.0f}x"
        times = "" if row.task_arithmetics is None else f"{row.task_arithmetics:.1f}x"
        lines.append(
            f"{row.operator:18}{row.seconds:9.3f}{row.floor_seconds:9.3f}{row.ratio:7.2f}{row.first_seconds:9.2f}"
            f"{peer:>15}{anew:>9}{times:>13}"
        )
    return "\n".join(lines)


@contextmanager
def opened_parents(random: str | None) -> Iterator[Parents]:
    """Open SmolLM2 and its experts, or random models of a size such as 1.1B or 50M, which go when this ends."""
    if random is None:
        yield Parents.open({name: em.ParentSource(str(SMOLLM / name)) for name in PARENTS})
        return
    from experiments.benchmarks.random_model import write_random_models

    n_parameters = float(random[:-1]) * {"M": 1e6, "B": 1e9}[random[-1].upper()]
    with tempfile.TemporaryDirectory() as directory:
        written = write_random_models(Path(directory), n_parameters, PARENTS)
        yield Parents.open({name: em.ParentSource(str(path)) for name, path in written.items()})


def many(operators: Sequence[str], n_genomes: int) -> None:
    """Measure elementwise operators on very many small tensors, and print a table."""
    rows = []
    with parents_of_many(PARENTS) as parents:
        for operator in operators:
            if OPERATORS[operator].elementwise and not OPERATORS[operator].statistics:
                rows.append(many_row(operator, parents, genomes(operator, parents, n_genomes)))
                print(many_table(rows).splitlines()[-1] if len(rows) > 1 else many_table(rows), flush=True)


def main() -> None:
    """Measure the chosen operators and print a table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--operators", nargs="+", choices=list(OPERATORS), default=[*ELEMENTWISE, *SPECTRAL, *ON_STATISTICS]
    )
    parser.add_argument("--random", metavar="SIZE", help="random weights instead of SmolLM2, e.g. 1.1B or 50M")
    parser.add_argument("--mergekit", metavar="PYTHON", type=Path, help="a Python that has mergekit installed")
    parser.add_argument("--genomes", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--many", action="store_true", help="a model of 18,867 small tensors")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if not options.json:
        print(f"{torch.backends.cpu.get_cpu_capability()}, {options.threads} threads", flush=True)
    if options.many:
        many(options.operators, options.genomes)
        return
    rows = []
    with opened_parents(options.random) as parents:
        known = MergeMemory(kernels=CompiledKernels("always"))
        model = ResidentModel(build_module(parents["base"]), parents, memory=known)
        for operator in options.operators:
            if OPERATORS[operator].statistics:
                rows.append(informed_row(operator, parents, options.genomes))
            elif OPERATORS[operator].spectral:
                rows.append(spectral_row(operator, parents, options.genomes))
            else:
                rows.append(elementwise_row(operator, model, parents, options.genomes, options.mergekit))
            if not options.json:
                print(table(rows).splitlines()[-1] if len(rows) > 1 else table(rows), flush=True)
    if options.json:
        print(json.dumps({"rows": [asdict(row) for row in rows]}, indent=2))


if __name__ == "__main__":
    main()
