"""Write generated prompts as JSONL task items (`id`, `prompt`, `answer`) for evomerge's exact-match scoring."""

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path

from experiments.finetune import Example


def write_items(path: Path, task: str, draw: Callable[[random.Random], Example], count: int, seed: int) -> None:
    """Write `count` items with distinct prompts to `path`, the same bytes for the same arguments."""
    items = distinct_examples(draw, count, random.Random(f"{task}-{seed}"))
    lines = (
        json.dumps({"id": f"{task}-{number}", "prompt": item.prompt, "answer": item.answer}) for number, item in items
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def distinct_examples(
    draw: Callable[[random.Random], Example], count: int, stream: random.Random
) -> Iterator[tuple[int, Example]]:
    """Yield `count` numbered examples, no prompt twice."""
    seen = set[str]()
    while len(seen) < count:
        example = draw(stream)
        if example.prompt not in seen:
            yield len(seen), example
            seen.add(example.prompt)
