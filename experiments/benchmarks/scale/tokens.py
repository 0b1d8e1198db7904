"""Tokenising, laying out and masks at 1,000 to 15,000 five-shot items: what comes once, and what each candidate takes.

usage: python -m experiments.benchmarks.scale.tokens [--items N ...] [--tokenizer DIR] [--json]

Items are synthetic: 57 headers of five examples, a question of 25 words, four choices. Tokenising is shown text by
text (on 200 items), as the first process of a campaign does it, and as every other one reads it from the run directory.
A GPU's passes (8,192 tokens) are laid out on torch's meta device, which stores nothing. Expected: 15,000 items in at
most 40 s once and 2 s afterwards; for candidates after the first no chunk is made ready.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

from fitness import Continuation, Tokenizer, load_tokenizer
from fitness.engine.scoring.packed import PackedLayout
from fitness.engine.scoring.windows import tokenise
from fitness.engine.tokens.request_store import KnownRequests, RequestStore

TOKENIZER = Path(__file__).parents[2] / "smollm" / "models" / "base"
_HEADERS, _SHOTS, _CHOICES = 57, 5, 4
_ALONE = 200  # items
_CPU_PASS, _GPU_PASS, _GPU_MULTIPLE = 512, 8192, 64  # tokens

A = TypeVar("A")


@dataclass(frozen=True)
class Row:
    """One number of items; seconds are of one process's CPU time, `wall` beside them."""

    items: int
    tokens: int  # that requests have, shared or not
    nodes: int  # of the trie
    text_by_text: float  # seconds, extrapolated from 200 items
    first: float
    first_wall: float
    again: float  # seconds of every further process
    again_wall: float
    file_mib: float
    selected: float  # seconds until a random quarter of the items is laid out, as racing asks for it
    cpu_ready: float  # seconds for the first candidate on a CPU
    cpu_made: int  # chunks made ready for the first candidate, of all
    cpu_made_later: int  # for each candidate after it
    gpu_passes: int
    gpu_ready: float
    gpu_mib: float  # on the device, kept for all candidates
    gpu_made_later: int


def requests_of(n_items: int, seed: int = 0) -> list[Continuation]:
    """Return the requests of five-shot items with four choices; the headers of one seed are the same."""
    rng = random.Random(seed)
    syllables = [c + v for c in "bcdfghjklmnprstvw" for v in "aeiou"]
    words = ["".join(rng.choices(syllables, k=rng.randint(1, 4))) for _ in range(3000)]

    def text(n_words: int) -> str:
        return " ".join(rng.choices(words, k=n_words))

    def question() -> str:
        lines = [f"{letter}. {text(4)}" for letter in "ABCD"]
        return "\n".join([f"Question: {text(25)}?", *lines, "Answer:"])

    headers = ["".join(f"{question()} {text(3)}\n\n" for _ in range(_SHOTS)) for _ in range(_HEADERS)]
    contexts = [headers[i % _HEADERS] + question() for i in range(n_items)]
    return [Continuation(context, f" {text(3)}") for context in contexts for _ in range(_CHOICES)]


def measure(n_items: int, tokenizer: Tokenizer, directory: Path) -> Row:
    """Return what so many items take."""
    requests = requests_of(n_items)
    alone, _, _ = _timed(lambda: [tokenise(request, tokenizer) for request in requests[: _CHOICES * _ALONE]])
    first, first_wall, known = _timed(lambda: RequestStore(tokenizer, directory).of(requests))
    again, again_wall, known = _timed(lambda: RequestStore(tokenizer, directory).of(requests))
    quarter = random.Random(1).sample(range(n_items), n_items // 4)
    selected, _, _ = _timed(lambda: _laid_out(known, quarter, _CPU_PASS, 1))
    on_cpu, on_gpu = (
        _laid_out(known, range(n_items), size, multiple)
        for size, multiple in ((_CPU_PASS, 1), (_GPU_PASS, _GPU_MULTIPLE))
    )
    cpu_ready, _, cpu_made = _timed(lambda: _made_ready(on_cpu, torch.device("cpu")))
    gpu_ready, _, _ = _timed(lambda: _made_ready(on_gpu, torch.device("meta")))
    return Row(
        items=n_items,
        tokens=known.trie.n_read,
        nodes=len(known.trie.trie),
        text_by_text=alone * n_items / min(_ALONE, n_items),
        first=first,
        first_wall=first_wall,
        again=again,
        again_wall=again_wall,
        file_mib=sum(file.stat().st_size for file in directory.iterdir()) / 2**20,
        selected=selected,
        cpu_ready=cpu_ready,
        cpu_made=cpu_made,
        cpu_made_later=_made_ready(on_cpu, torch.device("cpu")),
        gpu_passes=len(on_gpu.chunks),
        gpu_ready=gpu_ready,
        gpu_mib=sum(on_gpu.ready.of(chunk, torch.device("meta")).nbytes for chunk in on_gpu.chunks) / 2**20,
        gpu_made_later=_made_ready(on_gpu, torch.device("meta")),
    )


def _laid_out(known: KnownRequests, items: list[int] | range, size: int, multiple: int) -> PackedLayout:
    requests = np.array([_CHOICES * item + choice for item in items for choice in range(_CHOICES)])
    windows = [window for request in requests for window in known.trie.windows_of(int(request))]
    trie, readout = known.trie.part(np.array(windows))
    return PackedLayout(trie, readout, chunk_size=size, multiple=multiple)


def _made_ready(layout: PackedLayout, device: torch.device) -> int:
    """Go through the passes of one candidate, and return how many chunks were made ready for it."""
    before = layout.ready.n_made
    for chunk in layout.chunks:
        layout.ready.of(chunk, device)
    return layout.ready.n_made - before


def _timed(work: Callable[[], A]) -> tuple[float, float, A]:
    """Return CPU seconds, seconds on the clock, and what some work returns."""
    cpu, wall = time.process_time(), time.perf_counter()
    result = work()
    return time.process_time() - cpu, time.perf_counter() - wall, result


def main() -> None:
    """Print one block per number of items."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=int, nargs="+", default=[1000, 4000, 15_000], metavar="N")
    parser.add_argument("--tokenizer", type=Path, default=TOKENIZER, metavar="DIR")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    tokenizer, rows = load_tokenizer(arguments.tokenizer), []
    for n_items in arguments.items:
        with tempfile.TemporaryDirectory() as directory:
            rows.append(measure(n_items, tokenizer, Path(directory)))
        if not arguments.json:
            print(_lines(rows[-1]), flush=True)
    if arguments.json:
        print(json.dumps({"rows": [asdict(row) for row in rows]}, indent=2))


def _lines(row: Row) -> str:
    return "\n  ".join(
        [
            f"{row.items:,} items: {row.tokens:,} tokens, {row.nodes:,} nodes",
            f"token ids: text by text {row.text_by_text:.1f} s, first {row.first:.1f} s (clock {row.first_wall:.1f}), "
            f"each other process {row.again:.2f} s (clock {row.again_wall:.2f}), file {row.file_mib:.0f} MiB",
            f"another quarter of the items, laid out: {row.selected:.2f} s",
            f"passes of {_CPU_PASS} on a CPU: {row.cpu_ready:.2f} s for the first candidate, which made {row.cpu_made} "
            f"ready, later ones {row.cpu_made_later}",
            f"passes of {_GPU_PASS} on a GPU: {row.gpu_passes}, {row.gpu_ready:.2f} s for the first candidate, "
            f"{row.gpu_mib:.0f} MiB kept, made for later ones {row.gpu_made_later}",
        ]
    )


if __name__ == "__main__":
    main()
