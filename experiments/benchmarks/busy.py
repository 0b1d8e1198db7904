"""A machine that others use: how much slower candidates get, and lm-eval's backend, beside busy processes.

usage: python -m experiments.benchmarks.busy [--model NAME ...] [--busy N ...] [--seconds S] [--spinning] [--json FILE]

Candidates of `experiments/quickstart` and `experiments/smollm` are merged and scored as in a search, alone and beside
so many processes that only count. lm-eval's Hugging Face backend answers 16 of the same requests. Both have a thread
for each core. What fair sharing explains: of the cores' time t threads beside b others get t / (t + b), so that they
are (t + b) / cores times slower where all have something to do. `control` is a loop of one thread beside the same
processes, which shows what the system really gives: (1 + b) / cores is expected.

Expected on two cores: ours at most 1.3 times as slow as fair sharing explains, lm-eval's several times; alone, looking
at the machine costs nothing that can be measured (`price`: with it and without, in turns). Takes some 6 minutes, and
the models that `experiments.quickstart.train` and `experiments.smollm.train --base wheel` make. `--spinning` measures
ours as it would be without sharing, and takes much longer.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

EXPERIMENTS = Path(__file__).parents[1]
CAMPAIGNS = {
    "quickstart": EXPERIMENTS / "quickstart" / "campaign.yaml",
    "smollm": EXPERIMENTS / "smollm" / "campaign_cma_es.yaml",
}
CONTENDERS = ("ours", "lm-eval")
TARGET = 1.3  # times what fair sharing explains
_REQUESTS = 16  # one batch of lm-eval's
# Until it is killed, or whoever started it is gone.
_COUNTING = "import os; parent = os.getppid()\nwhile os.getppid() == parent:\n    for _ in range(100_000): pass"


@dataclass(frozen=True)
class Row:
    """One contender beside so many busy processes."""

    model: str
    contender: str
    busy: int
    seconds: float  # of a candidate, or of lm-eval's requests; on average
    runs: int
    slowdown: float  # in comparison with no busy process
    fair: float  # the slowdown that fair sharing explains
    control: float  # that of one thread which waits for nobody
    price: float | None  # of looking at the idle machine: seconds with / without - 1; only alone

    @property
    def over_fair(self) -> float:
        """Slowdown / fair slowdown."""
        return self.slowdown / self.fair


def fair_slowdown(busy: int, threads: int, cores: int) -> float:
    """Return how many times slower `threads` get beside so many busy ones, where all have equal shares of the cores."""
    return max(1.0, (busy + threads) / max(cores, threads))


@contextlib.contextmanager
def busy_processes(n: int) -> Iterator[None]:
    """Have n processes that only count, at our own priority."""
    processes = [subprocess.Popen([sys.executable, "-c", _COUNTING]) for _ in range(n)]
    try:
        time.sleep(0.5 if n else 0.0)  # until Python has started
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def counted_per_second(seconds: float = 2.0) -> float:
    """Return how far one thread counts in a second of the clock."""
    began, count = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        for _ in range(1000):
            count += 1
    return count / (time.perf_counter() - began)


def timed(work: Callable[[], object], seconds: float) -> list[float]:
    """Return how long each run of some work takes; as many as begin within so many seconds."""
    times: list[float] = []
    while not times or sum(times) < seconds:
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return times


def candidates(model: str) -> Callable[[], object]:
    """Return what merges and scores one candidate after another, as a worker of the model's campaign does."""
    from evomerge.assembly import build_parts, build_worker, settled
    from evomerge.candidate import Candidate, Scored
    from evomerge.config import load_campaign

    parts = build_parts(settled(load_campaign(CAMPAIGNS[model])))
    worker = build_worker(parts)
    recipes = itertools.cycle([parts.space.decode(genome) for genome in parts.optimiser().ask(12)])

    def next_candidate() -> None:
        done = worker.evaluate(Candidate(0, next(recipes)), parts.search_budget)
        assert isinstance(done, Scored), done

    return next_candidate


def lm_eval_requests(model: str) -> Callable[[], object]:
    """Return what answers some requests of the model's tasks with lm-eval's backend."""
    from transformers import AutoModelForCausalLM

    from evomerge.config import load_campaign
    from experiments.benchmarks.lm_eval_peer import Peer
    from experiments.benchmarks.scoring_cases import task_file
    from fitness import load_tokenizer

    config = load_campaign(CAMPAIGNS[model])
    base = config.sources[config.base_name].model
    tokenizer = load_tokenizer(base)
    tasks = [task for objective in config.objectives for task in objective.tasks]
    items = [item for task in tasks for item in task_file(task, tokenizer)[: _REQUESTS // len(tasks) + 1]]
    requests = [request for item in items for request in item][:_REQUESTS]
    live = AutoModelForCausalLM.from_pretrained(
        base, dtype="float32", trust_remote_code=False, attn_implementation=None
    ).eval()
    peer = Peer(live, tokenizer.pretrained, batch_size=_REQUESTS)
    return lambda: peer.answer(requests)


def measure(model: str, contender: str, loads: list[int], seconds: float, *, spinning: bool) -> list[Row]:
    """Measure one contender, first alone, then beside busy processes."""
    import torch

    from evomerge.workers.sharing import sharing_cores
    from evomerge.workers.threads import available_cores

    torch.set_num_threads(available_cores())
    work = candidates(model) if contender == "ours" else lm_eval_requests(model)
    shares = contender == "ours" and not spinning
    work()  # what is found out once
    rows: list[Row] = []
    alone, count_alone = 0.0, 0.0
    for busy in sorted({0, *loads}):
        with busy_processes(busy):
            count = counted_per_second()
            with sharing_cores() if shares else contextlib.nullcontext():
                times = timed(work, seconds)
            price = None if busy or not shares else _price(work, len(times))
        mean = statistics.mean(times)
        alone, count_alone = alone or mean, count_alone or count
        fair = fair_slowdown(busy, available_cores(), available_cores())
        rows.append(Row(model, contender, busy, mean, len(times), mean / alone, fair, count_alone / count, price))
    return rows


def _price(work: Callable[[], object], runs: int) -> float:
    """Return what looking at the machine costs: the medians with and without, in turns, in comparison."""
    from evomerge.workers.sharing import sharing_cores

    watched: list[float] = []
    unwatched: list[float] = []
    for _ in range(max(2, runs // 2)):
        unwatched += timed(work, 0.0)
        with sharing_cores():
            watched += timed(work, 0.0)
    return statistics.median(watched) / statistics.median(unwatched) - 1.0


def main() -> None:
    """Print one row per model, contender and load; each contender runs in a process of its own."""
    arguments = _arguments()
    if arguments.only:
        model, contender = arguments.only.split(":")
        rows = measure(model, contender, arguments.busy, arguments.seconds, spinning=arguments.spinning)
        print(json.dumps([asdict(row) for row in rows]))
        return
    found: list[Row] = []
    print(_HEADER)
    for model in arguments.model or CAMPAIGNS:
        for contender in arguments.contender or CONTENDERS:
            for row in _in_a_process(f"{model}:{contender}"):
                found.append(row)
                print(_line(row), flush=True)
    for contender in dict.fromkeys(row.contender for row in found):
        worst = max(row.over_fair for row in found if row.contender == contender)
        print(f"{contender}: at most {worst:.2f} times as slow as fair sharing explains (target for ours: {TARGET})")
    if arguments.json:
        written = [{**asdict(row), "over_fair": row.over_fair} for row in found]
        arguments.json.write_text(json.dumps({"cores": os.cpu_count(), "rows": written}, indent=2) + "\n")


def _in_a_process(only: str) -> list[Row]:
    # What the environment says of threads would hold for both; they are to have what they choose.
    said = ("OMP_NUM_THREADS", "GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
    environment = {name: value for name, value in os.environ.items() if name not in said}
    command = [sys.executable, "-m", "experiments.benchmarks.busy", *sys.argv[1:], "--only", only]
    environment["HF_HUB_OFFLINE"] = "1"
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{only}: {done.stderr}")
    return [Row(**row) for row in json.loads(done.stdout.splitlines()[-1])]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", action="append", choices=list(CAMPAIGNS), help="may be repeated; default: both")
    parser.add_argument("--contender", action="append", choices=CONTENDERS, help="may be repeated; default: both")
    parser.add_argument("--busy", type=int, nargs="+", default=[2, 4], metavar="N", help="busy processes")
    parser.add_argument("--seconds", type=float, default=8.0, help="for each row, at least one run")
    parser.add_argument("--spinning", action="store_true", help="ours without sharing")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the rows as well")
    parser.add_argument("--only", help=argparse.SUPPRESS)
    return parser.parse_args()


_HEADER = "model       contender  busy  seconds  runs  slowdown   fair  over fair  control   price"


def _line(row: Row) -> str:
    price = "" if row.price is None else f"{row.price:+.1%}"
    return (
        f"{row.model:11} {row.contender:9} {row.busy:5} {row.seconds:8.2f} {row.runs:5} {row.slowdown:9.2f} "
        f"{row.fair:6.2f} {row.over_fair:10.2f} {row.control:8.2f} {price:>7}"
    )


if __name__ == "__main__":
    main()
