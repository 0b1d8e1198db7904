"""The same campaign on vLLM and on evomerge's own engine: equal scores, and what a candidate takes on each.

usage: python -m experiments.benchmarks.vllm_engine [--candidates N] [--dtype DTYPE] [--tolerance T] [--json FILE]

A random search over three experts of SmolLM2-135M (`experiments/smollm`), whose three tasks are answered by generated
text, and what answers cost in tokens is scored beside them. Both searches propose the same recipes. `merge` are the
seconds of making a candidate's tensors, `load` those of what vLLM does with them (in place, nothing of it with our own
engine), `write` the rest of its seconds: all completions. Fails where more than the share `--tolerance` of the items'
scores differ, for rounding moves a completion where two tokens are nearly as likely: 0 in float32 is expected.

Takes some minutes on a CPU, in the environment of `make test-vllm` (`PYTHON=.venv-vllm/bin/python`), after
`python -m experiments.smollm.train --base wheel`.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import evomerge as em

CAMPAIGN = Path(__file__).parents[1] / "smollm" / "campaign_cma_es.yaml"
ENGINES = ("trie", "vllm")


@dataclass(frozen=True)
class Row:
    """One engine; seconds are medians of a candidate, the first one aside."""

    engine: str
    seconds: float
    merge: float | None  # None: not told apart
    load: float | None
    write: float | None
    tokens: float  # that a candidate's completions have
    tokens_per_second: float | None  # of `write`
    mean: float  # score of all candidates and items


class Merges(logging.Handler):
    """Keeps the seconds that vLLM's workers tell of each candidate."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.seconds: list[tuple[float, float]] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Take a record of `VllmServer.become`."""
        if isinstance(record.args, tuple) and len(record.args) == 3:
            _, merge, load = record.args
            self.seconds.append((float(str(merge)), float(str(load))))


def run(engine: str, directory: Path, options: argparse.Namespace) -> em.Run:
    """Search on one engine."""
    changes = {
        "engine": {"kind": engine, "dtype": options.dtype},
        "optimiser": "random",
        "landmarks": "none",
        "budget.evaluations": options.candidates,
        "objectives": [
            *({"name": n, "tasks": [f"./tasks/{n}.jsonl"]} for n in ("arithmetic", "letters", "continents")),
            {"name": "length", "cost": "tokens"},
        ],
    }
    return em.search.from_yaml(CAMPAIGN, set=changes, run_dir=directory / engine)


def scores(found: em.Run) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return (n_candidates, n_items) scores, and (n_candidates, n_items) tokens."""
    rows = [found.items.scores(number) for number in range(found.n_candidates)]
    assert all(row is not None for row in rows), "a candidate failed"
    values = np.array([row.values for row in rows if row is not None])
    is_length = np.array([":tokens/" in item for item in rows[0].item_ids]) if rows[0] else np.zeros(0, dtype=bool)
    return values[:, ~is_length], -values[:, is_length]


def row_of(engine: str, found: em.Run, merges: Merges) -> Row:
    """Return what an engine took."""
    values, tokens = scores(found)
    seconds = np.array([one.seconds for one in found.candidates])[1:]
    of_candidate = float(tokens.sum(axis=1).mean())
    if engine == "trie":
        return Row(engine, float(np.median(seconds)), None, None, None, of_candidate, None, float(values.mean()))
    merge, load = (np.array([pair[i] for pair in merges.seconds])[1 : len(seconds) + 1] for i in (0, 1))
    write = float(np.median(seconds - merge - load))
    told = (float(np.median(merge)), float(np.median(load)), write)
    return Row(engine, float(np.median(seconds)), *told, of_candidate, of_candidate / write, float(values.mean()))


def main() -> int:
    """Compare the engines; returns 1 where scores differ by more than the tolerance."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--candidates", type=int, default=20)
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16", "float16"))
    parser.add_argument("--tolerance", type=float, default=0.0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    merges = Merges()
    log = logging.getLogger("evomerge.workers.vllm.server")
    log.setLevel(logging.INFO)
    log.addHandler(merges)
    with tempfile.TemporaryDirectory() as directory:
        runs = {engine: run(engine, Path(directory), options) for engine in ENGINES}
        rows = [row_of(engine, found, merges) for engine, found in runs.items()]
        for row in rows:
            print(row)
        (plain, plain_tokens), (served, served_tokens) = (scores(found) for found in runs.values())
    differ = float(np.mean(np.concatenate([plain != served, plain_tokens != served_tokens], axis=1)))
    print(f"{differ:.2%} of {plain.size + plain_tokens.size} scores and lengths differ")
    if options.json is not None:
        data = {"rows": [asdict(row) for row in rows], "differ": differ, "dtype": options.dtype}
        options.json.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")
    return int(differ > options.tolerance)


if __name__ == "__main__":
    sys.exit(main())
