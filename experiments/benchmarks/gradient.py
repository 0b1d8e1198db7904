"""What a gradient step on merge coefficients costs, against a forward pass over the same batch.

A step writes the merge, runs forward and backward, and takes inner products with the parents. Times are the processor's
for this process, in one thread, the least of some repeats; memory is the peak above what was held before. A parent is
the expert for the task of its name.

    python -m experiments.benchmarks.gradient --base DIR --parents DIR DIR DIR --tasks A.jsonl B.jsonl C.jsonl
"""

from __future__ import annotations

import argparse
import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from experiments.benchmarks.watched import watched
from fitness import (
    Experts,
    Lessons,
    Objective,
    TaskContext,
    Teaching,
    TrieLanguageModel,
    load_tasks,
    load_tokenizer,
    make_suite,
)
from search_spaces import CoefficientModel, Parents, ParentSource, build_module

ROOT = Path(__file__).parents[1] / "smollm"
NAMES = ("arithmetic", "letters", "continents")


@dataclass(frozen=True)
class Costs:
    """What one step takes, in processor seconds, and its parts."""

    per: str
    loss: str
    items: int  # of the batch
    coefficients: int
    forward_seconds: float  # of the same batch, without a graph
    step_seconds: float
    write_seconds: float  # of writing the merge
    backward_seconds: float  # forward and backward, inner products among it
    times_forward: float
    teach_seconds: float  # experts' answers, once
    teacher_mib: float  # what is kept of them
    model_mib: float
    forward_peak_mib: float | None
    step_peak_mib: float | None


def measure(model: CoefficientModel, lessons: Lessons, *, per: str, loss: str, repeats: int) -> Costs:
    """Measure a step on all items that are learnt from."""
    start = time.process_time()
    lessons.learn(lambda name: _alone(model, name))
    teach = time.process_time() - start
    items = lessons.batch(0)
    values = torch.full(model.shape, 1.0 / len(model.parents), dtype=torch.float64)

    def forward() -> float:
        begin = time.process_time()
        with torch.no_grad():
            lessons.loss(model.model, items)
        return time.process_time() - begin

    def step() -> tuple[float, float]:
        values.add_(1e-3)  # what is the same is not written
        begin = time.process_time()
        model.become(values)
        written = time.process_time()
        lessons.backward(model.model, items)
        values.sub_(model.slope(), alpha=1e-2)
        return written - begin, time.process_time() - begin

    model.become(values)  # what no parent changed is found
    lessons.backward(model.model, lessons.batch(0, size=1))
    model.slope()
    forwards = [watched(model.model, forward) for _ in range(repeats)]
    steps = [watched(model.model, step) for _ in range(repeats)]
    plain = min(seconds for seconds, _ in forwards)
    write, best = min((took for took, _ in steps), key=lambda pair: pair[1])
    return Costs(
        per=per,
        loss=loss,
        items=len(items),
        coefficients=values.numel(),
        forward_seconds=plain,
        step_seconds=best,
        write_seconds=write,
        backward_seconds=best - write,
        times_forward=best / plain,
        teach_seconds=teach,
        teacher_mib=lessons.n_bytes / 2**20,
        model_mib=sum(p.nbytes for p in model.model.parameters()) / 2**20,
        forward_peak_mib=forwards[0][1].peak_mib,
        step_peak_mib=steps[0][1].peak_mib,
    )


def _alone(model: CoefficientModel, name: str) -> nn.Module:
    values: Tensor = torch.zeros(model.shape)
    if name in model.parents:
        values[model.parents.index(name)] = 1.0
    model.become(values)
    return model.model


def main() -> None:
    """Print the costs as JSON."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    arguments = _arguments()
    torch.set_num_threads(arguments.threads)
    tokenizer = load_tokenizer(arguments.base)
    tasks = [task for path in arguments.tasks for task in load_tasks([path.name], TaskContext(path.parent))[path.name]]
    suite = make_suite(tasks, tokenizer=tokenizer, shares={"search": 1.0}, seed=0)
    parents = {path.name: ParentSource(str(path)) for path in arguments.parents}
    opened = Parents.open({"base": ParentSource(str(arguments.base)), **parents})
    dtype = getattr(torch, arguments.dtype)
    for per in arguments.per:
        model = CoefficientModel(
            build_module(opened["base"], compute_dtype=dtype),
            opened,
            base="base",
            merged=list(parents),
            per=per,
            dtype="bfloat16" if dtype is torch.bfloat16 else "float32",
        )
        lessons = Lessons(
            suite,
            [Objective(task.name, (task.name,)) for task in tasks],
            tokenizer=tokenizer,
            experts=Experts(TrieLanguageModel(tokenizer), list(parents), ["base", *parents], {n: n for n in parents}),
            teaching=Teaching(arguments.loss, arguments.items, 0.0, checkpointing=arguments.checkpointing),
        )
        costs = measure(model, lessons, per=per, loss=arguments.loss, repeats=arguments.repeats)
        print(json.dumps(asdict(costs), indent=2), flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    models = ROOT / "models"
    parser.add_argument("--base", type=Path, default=models / "base", metavar="DIR")
    parser.add_argument("--parents", type=Path, nargs="+", default=[models / name for name in NAMES], metavar="DIR")
    default = [ROOT / "tasks" / f"{name}.jsonl" for name in NAMES]
    parser.add_argument("--tasks", type=Path, nargs="+", default=default, metavar="FILE")
    parser.add_argument("--items", type=int, default=30, metavar="N", help="of each task")
    parser.add_argument("--per", nargs="+", default=["tensor"], choices=["model", "group", "tensor", "column"])
    parser.add_argument("--loss", default="js", choices=["js", "kl", "entropy", "nll"])
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--checkpointing", action="store_true")
    parser.add_argument("--threads", type=int, default=1, metavar="N")
    parser.add_argument("--repeats", type=int, default=2, metavar="N")
    return parser.parse_args()


if __name__ == "__main__":
    main()
