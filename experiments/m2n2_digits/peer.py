"""The released code (github.com/SakanaAI/natural_niches) beside this one, on the same cores.

It is run as it is, in a process and an environment of its own. From pre-trained halves both begin with the very two
networks that the released code makes; from scratch each draws its own.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from statistics import median

from experiments.m2n2_digits.network import unflattened
from experiments.m2n2_digits.runs import Run, Start, run

# Of both a first, short search loads and compiles what there is to; the second one is timed.
_DRIVER = """
import contextlib, json, os, sys, time
os.environ["JAX_PLATFORMS"] = "cpu"
from helper_fn import get_pre_trained_models
from natural_niches_fn import run_natural_niches
def search(n):
    return run_natural_niches(runs=1, pop_size=20, total_forward_passes=n, store_train_results=False,
        no_matchmaker=False, no_crossover=False, no_splitpoint=False, use_pre_trained=sys.argv[1] == "pretrained")
with contextlib.redirect_stdout(sys.stderr):
    search(20)
    began = time.perf_counter()
    result = search(int(sys.argv[2]))
    seconds = time.perf_counter() - began
halves = [half.tolist() for half in get_pre_trained_models()] if sys.argv[1] == "pretrained" else None
print(json.dumps([int(sys.argv[2]) / seconds, float(result[0]["test_values"][-1]), halves]))
"""


def side_by_side(
    checkout: Path, python: Path, *, start: Start, evaluations: int, rounds: int = 3
) -> dict[str, float | list[float]]:
    """Run both for as many evaluations, by turns; return medians of speeds, every speed, and test accuracies (%).

    `python` has what the released code in `checkout` needs (jax, optax, scikit-learn, tqdm). Each runs several rounds,
    because a shared machine's own speed changes within minutes.
    """
    command = [str(python.absolute()), "-c", _DRIVER, start, str(evaluations)]
    theirs: list[tuple[float, float]] = []
    ours: list[Run] = []
    for _ in range(rounds):
        done = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise ChildProcessError(f"--peer: the released code failed: {done.stderr.strip().splitlines()[-1]}")
        speed, accuracy, halves = json.loads(done.stdout)
        theirs.append((speed, accuracy))
        run(start, "m2n2", 1, 20)
        ours.append(run(start, "m2n2", 1, evaluations, parents=halves and [unflattened(half) for half in halves]))
    speeds, their_speeds = [each.evaluations_per_second for each in ours], [speed for speed, _ in theirs]
    return {
        "evaluations per second": median(speeds),
        "evaluations per second, released code": median(their_speeds),
        "times as fast": median(speeds) / median(their_speeds),
        "test accuracy (%)": 100 * ours[-1].test_accuracy,
        "test accuracy (%), released code": 100 * theirs[-1][1],
        "every speed": speeds,
        "every speed, released code": their_speeds,
    }
