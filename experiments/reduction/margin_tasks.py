"""The experiments' tasks as questions with choices, so that answers have margins: see `signals`.

command    python -m experiments.reduction.margin_tasks    (writes runs/reduction/margins/*.jsonl)
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

EXPERIMENTS = Path(__file__).parents[1]
DIRECTORY = Path("runs/reduction/margins")
N_WRONG = 3
CONTINENTS = ("Africa", "Asia", "Europe", "North America", "South America")
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def near_number(answer: str, prompt: str, stream: random.Random) -> list[str]:
    """Return numbers that slips make: one or ten off."""
    del prompt
    return [str(int(answer) + step) for step in stream.sample((-11, -10, -2, -1, 1, 2, 10, 11), N_WRONG)]


def other_letters(answer: str, prompt: str, stream: random.Random) -> list[str]:
    """Return other letters of the name, and any where it has too few."""
    name = prompt.partition(" of ")[2].partition("?")[0].lower()
    own = [letter for letter in dict.fromkeys(name) if letter in LETTERS and letter != answer]
    more = [letter for letter in LETTERS if letter not in own and letter != answer]
    return (stream.sample(own, len(own)) + stream.sample(more, N_WRONG))[:N_WRONG]


def other_continents(answer: str, prompt: str, stream: random.Random) -> list[str]:
    """Return the other continents."""
    del prompt, stream
    return [continent for continent in CONTINENTS if continent != answer]


def other_strings(answer: str, prompt: str, stream: random.Random) -> list[str]:
    """Return the answer with two of its letters exchanged, or with another letter."""
    del prompt
    wrong: list[str] = []
    while len(wrong) < N_WRONG:
        letters = list(answer)
        i, j = stream.sample(range(len(letters)), 2)
        letters[i], letters[j] = letters[j], letters[i]
        if letters == list(answer):
            letters[i] = stream.choice([letter for letter in LETTERS if letter != letters[i]])
        if (text := "".join(letters)) not in wrong:
            wrong.append(text)
    return wrong


TASKS: dict[str, Callable[[str, str, random.Random], list[str]]] = {
    "smollm/tasks/arithmetic": near_number,
    "smollm/tasks/letters": other_letters,
    "smollm/tasks/continents": other_continents,
    "quickstart/tasks/sort": other_strings,
    "quickstart/tasks/shift": other_strings,
    "quickstart/tasks/rotate": other_strings,
}


def main() -> None:
    """Write the task files."""
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    for task, wrong in TASKS.items():
        lines = []
        for line in (EXPERIMENTS / f"{task}.jsonl").read_text(encoding="utf-8").splitlines():
            item = json.loads(line)
            stream = random.Random(item["id"])
            choices = [item["answer"], *wrong(item["answer"], item["prompt"], stream)]
            stream.shuffle(choices)
            asked = {"id": item["id"], "question": item["prompt"], "choices": choices}
            lines.append(json.dumps(asked | {"gold": choices.index(item["answer"])}))
        (DIRECTORY / f"{Path(task).name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
