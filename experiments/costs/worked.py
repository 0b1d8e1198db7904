"""An expert that works sums out before it says the result, and the task that reads the last number of an answer.

    python -m experiments.costs.worked      writes tasks/sums.jsonl (committed) and trains models/worked (some minutes)

Where the arithmetic expert of experiments/smollm answers `119` to "What is 65 + 54?", this one answers
`65 + 50 = 115, 115 + 4 = 119`: it is right more often, and takes more tokens.
"""

import functools
import random
from pathlib import Path

from experiments.exact_match_tasks import write_items
from experiments.finetune import Example, Schedule, train_expert
from experiments.smollm.tasks import draw_arithmetic

HERE = Path(__file__).parent
BASE = HERE.parent / "smollm" / "models" / "base"
ITEMS = 200
_SEED = 40


def draw_worked(stream: random.Random, held_out: bool) -> Example:
    """Draw a sum or difference, and work it out: the tens first, then the units."""
    asked = draw_arithmetic(stream, held_out)
    left, sign, right = asked.prompt.partition("What is ")[2].partition("?")[0].split(" ")
    tens, units = int(right) // 10 * 10, int(right) % 10
    first = int(left) + tens if sign == "+" else int(left) - tens
    last = first + units if sign == "+" else first - units
    assert str(last) == asked.answer
    return Example(asked.prompt, f"{left} {sign} {tens} = {first}, {first} {sign} {units} = {last}")


def main() -> None:
    """Write the task and train the expert, each unless it is there."""
    items = HERE / "tasks" / "sums.jsonl"
    if not items.exists():
        write_items(items, "sums", functools.partial(draw_arithmetic, held_out=True), ITEMS, _SEED)
    schedule = Schedule(steps=140, batch_size=6, learning_rate=1.5e-4, seed=4)
    draw = functools.partial(draw_worked, held_out=False)
    train_expert(BASE, HERE / "models" / "worked", draw, schedule, freeze_embeddings=True)


if __name__ == "__main__":
    main()
