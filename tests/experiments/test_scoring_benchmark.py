"""The scoring benchmark counts and compares what it says it does; no times are asserted."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from experiments.benchmarks.arithmetic_limit import TrieWork, multiply_adds, trie_work
from experiments.benchmarks.watched import watched
from fitness.engine.language_model import Completion, Continuation, WholeText
from fitness.engine.model.tokenizer import load_tokenizer
from fitness.engine.scoring.windows import Window, tokenise
from tests.conftest import Family
from tests.fitness.conftest import arithmetic, write_jsonl

ISSUE_KEYS = {
    "case",
    "ours_seconds",
    "peer_seconds",
    "ratio",
    "max_abs_difference",
    "trie_tokens",
    "padded_tokens",
    "peer_tokens",
}


def test_any_task_is_measured_with_the_keys_that_were_promised(family: Family, tmp_path: Path) -> None:
    task = write_jsonl(tmp_path / "sums.jsonl", arithmetic(4))
    command = ["experiments.benchmarks.scoring", "--tasks", task, "--model", family.base, "--limit", "3", "--json"]
    done = subprocess.run([sys.executable, "-m", *map(str, command)], capture_output=True, text=True, check=True)
    (row,) = json.loads(done.stdout)["rows"]
    assert row.keys() >= ISSUE_KEYS
    assert row["requests"] == 9
    assert row["mode"] == "packed"
    assert row["max_abs_difference"] < 1e-4
    assert row["trie_tokens"] <= row["padded_tokens"] <= row["peer_tokens"]
    assert row["ratio"] == pytest.approx(row["peer_seconds"] / row["ours_seconds"])


def test_the_work_is_that_of_every_distinct_prefix(family: Family) -> None:
    tokenizer = load_tokenizer(family.base)
    requests = [Continuation(f"{i % 3} sheep", c) for i in range(6) for c in (" a", " ab", " b")]
    texts = [WholeText("1 sheep and more"), Completion("1 sheep", max_new_tokens=5)]
    prefixes: set[tuple[int, ...]] = set()
    reads: set[tuple[int, ...]] = set()
    for request in [*requests, *texts[:1]]:
        for window in tokenise(request, tokenizer):
            assert isinstance(window, Window)
            prefixes |= {window.inputs[:n] for n in range(1, len(window.inputs) + 1)}
            reads |= {window.inputs[: place + 1] for place in window.places}
    work = trie_work([*requests, *texts], tokenizer)
    assert work == TrieWork(len(prefixes), sum(map(len, prefixes)), len(reads))


def test_multiply_adds_are_half_of_what_torch_counts(family: Family) -> None:
    from torch.utils.flop_counter import FlopCounterMode
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(family.base, attn_implementation="eager")
    length = 20
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.ones(1, length, dtype=torch.long))
    # Without a mask's savings, every token attends to all; the rotary angles' product is not a layer's.
    config = model.config
    rotary = length * (config.hidden_size // config.num_attention_heads // 2)
    counted = counter.get_total_flops() / 2
    assert multiply_adds(model, TrieWork(length, length * length, length)) == pytest.approx(counted, abs=2 * rotary)


def test_watching_counts_tokens_and_time_inside_the_model() -> None:
    model = torch.nn.Embedding(10, 4)

    def work() -> Any:
        return [model(torch.zeros(2, n, dtype=torch.long)) for n in (3, 5)]

    outputs, run = watched(model, work)
    assert len(outputs) == 2
    assert run.tokens == 16
    assert 0.0 < run.forward_seconds <= run.seconds
