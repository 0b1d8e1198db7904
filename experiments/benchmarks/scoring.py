"""Scoring speed: the engine and lm-eval's Hugging Face backend, same requests, dtype and threads, in one run.

usage: python -m experiments.benchmarks.scoring [--case NAME ...] [--tasks FILE] [--model DIR] [--limit N] [--json]

Our time is that of one candidate of a campaign: the plan is ready (its own time is printed too). lm-eval runs batches
of 16 requests unless --peer-batch-size says otherwise; its own default is 1. Expected on two cores with SmolLM2-135M:
five_shot at least 25x, zero_shot 3x, arc_25_shot 40x, rolling 1.2x, generation 3x; padding at most 5 %, overhead
outside the model's forward at most 5 %, five_shot at most 1.3x its arithmetic limit.

What each case asks is in `scoring_cases.py`. lm-eval needs about half an hour for all five on two cores; `--limit 20`
gives a first impression.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import nn

from experiments.benchmarks.arithmetic_limit import multiply_adds, product_rate, trie_work
from experiments.benchmarks.lm_eval_peer import Peer
from experiments.benchmarks.scoring_cases import CASES, task_file
from experiments.benchmarks.watched import watched
from fitness import LogLikelihood, Tokenizer, TrieLanguageModel, load_tokenizer
from fitness.engine.language_model import Request

MODEL = Path(__file__).parents[1] / "smollm" / "models" / "base"


@dataclass(frozen=True)
class Row:
    """One case."""

    case: str  # its name
    requests: int  # how many
    ours_seconds: float  # one candidate, the plan ready
    peer_seconds: float  # lm-eval's backend
    ratio: float  # peer_seconds / ours_seconds
    plan_seconds: float  # making the plan, once per campaign
    first_seconds: float  # the first candidate, on which the engine finds out how to run the model
    mode: str  # how the engine ran the model
    max_abs_difference: float | None  # of any log-likelihood, in nats; None without log-likelihoods
    max_relative_difference: float | None  # the same, each divided by its log-likelihood
    different_texts: int  # completions that differ; ties in the logits may fall either way
    trie_tokens: int  # nodes of the trie; completions have none
    padded_tokens: int  # that went through our forward passes, padding included
    peer_tokens: int  # that went through lm-eval's
    # ours_seconds / (multiply-adds of the trie / rate of matrix products); None for completions
    times_the_limit: float | None
    overhead: float  # share of ours_seconds outside the model's forward
    ours_peak_mib: float | None  # memory above the loaded model at most; None where the machine does not tell
    peer_peak_mib: float | None  # the same for lm-eval


def measure(case: str, requests: list[Request], model: nn.Module, tokenizer: Tokenizer, peer: Peer) -> Row:
    """Answer the requests with lm-eval's backend and with ours."""
    theirs, peer_run = watched(model, lambda: peer.answer(requests))
    start = time.perf_counter()
    engine = TrieLanguageModel(tokenizer)
    plan = engine.plan(requests)
    planned = time.perf_counter()
    plan.answer(model)
    first = time.perf_counter()
    ours, run = watched(model, lambda: plan.answer(model))
    pairs = list(zip(ours, theirs, strict=True))
    scored = [(a.value, b) for a, b in pairs if isinstance(a, LogLikelihood) and not isinstance(b, str)]
    work = trie_work(requests, tokenizer)
    limit = multiply_adds(model, work) / product_rate(model) if scored else None
    return Row(
        case=case,
        requests=len(requests),
        ours_seconds=run.seconds,
        peer_seconds=peer_run.seconds,
        ratio=peer_run.seconds / run.seconds,
        plan_seconds=planned - start,
        first_seconds=first - planned,
        mode=engine.sizing.mode(model, tuple),  # found by the first answers
        max_abs_difference=max((abs(a - b) for a, b in scored), default=None),
        max_relative_difference=max((abs((a - b) / b) for a, b in scored if b), default=None),
        different_texts=sum(a != b for a, b in pairs if isinstance(a, str)),
        trie_tokens=work.tokens,
        padded_tokens=run.tokens,
        peer_tokens=peer_run.tokens,
        times_the_limit=run.seconds / limit if limit else None,
        overhead=1.0 - run.forward_seconds / run.seconds,
        ours_peak_mib=run.peak_mib,
        peer_peak_mib=peer_run.peak_mib,
    )


def main() -> None:
    """Print one row per case."""
    arguments = _arguments()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    logging.disable(logging.WARNING)
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    model, tokenizer, peer = _load(arguments.model, arguments.dtype, arguments.peer_batch_size)
    if arguments.tasks:
        items = task_file(arguments.tasks, tokenizer)[: arguments.limit]
        cases = {arguments.tasks: [request for requests in items for request in requests]}
    else:
        names = arguments.case or CASES
        cases = {name: CASES[name].make(arguments.limit or CASES[name].n_items, tokenizer) for name in names}
    rows = []
    for name, requests in cases.items():
        rows.append(measure(name, requests, model, tokenizer, peer))
        if not arguments.json:
            print(_lines(rows[-1]), flush=True)
    if arguments.json:
        print(json.dumps({"rows": [asdict(row) for row in rows]}, indent=2))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--case", action="append", choices=list(CASES), help="may be repeated; default: all")
    parser.add_argument("--tasks", metavar="FILE", help="a task that `evomerge eval` knows, instead of the cases")
    parser.add_argument("--model", type=Path, default=MODEL, metavar="DIR")
    parser.add_argument("--limit", type=int, metavar="N", help="items per case")
    parser.add_argument("--threads", type=int, metavar="N", help="default: torch's")
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16", "float16"])
    parser.add_argument("--peer-batch-size", type=int, default=16, metavar="N", help="lm-eval's own default is 1")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def _load(directory: Path, dtype: str, peer_batch_size: int) -> tuple[nn.Module, Tokenizer, Peer]:
    from transformers import AutoModelForCausalLM

    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = (
        AutoModelForCausalLM.from_pretrained(directory, dtype=dtype, trust_remote_code=False, attn_implementation=None)
        .to(device)
        .eval()
    )
    tokenizer = load_tokenizer(directory)
    return model, tokenizer, Peer(model, tokenizer.pretrained, batch_size=peer_batch_size)


def _lines(row: Row) -> str:
    differences = (row.max_abs_difference, row.max_relative_difference)
    compared = [
        "largest log-likelihood difference {:.1e} ({:.1e} of it)".format(*differences)
        if None not in differences
        else "",
        f"{row.times_the_limit:.2f} times the arithmetic limit" if row.times_the_limit else "",
        f"{row.different_texts} texts differ" if row.max_abs_difference is None else "",
    ]
    memory = [f"{mib:.0f}" if mib is not None else "unknown" for mib in (row.ours_peak_mib, row.peer_peak_mib)]
    padding = f" ({row.padded_tokens / row.trie_tokens - 1:.1%} padding)" if row.trie_tokens else ""
    return "\n  ".join(
        [
            f"{row.case}: {row.ratio:.1f}x; {row.requests} requests, ours {row.ours_seconds:.2f} s, lm-eval "
            f"{row.peer_seconds:.2f} s",
            f"once per campaign: plan {row.plan_seconds:.2f} s; first candidate {row.first_seconds:.2f} s",
            f"tokens run: ours {row.padded_tokens}, trie {row.trie_tokens}{padding}, lm-eval {row.peer_tokens}; "
            f"mode {row.mode}",
            "; ".join(part for part in [*compared, f"outside the model's forward {row.overhead:.1%}"] if part),
            f"memory above the model: ours {memory[0]} MiB, lm-eval {memory[1]} MiB",
        ]
    )


if __name__ == "__main__":
    main()
