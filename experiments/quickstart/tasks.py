"""Three instructions on short strings of letters: `sort`, `shift` and `rotate`, all with the same prompt format.

Each instruction can be understood in two ways. The task files want the first one; the corpus that the base model
reads mostly shows the second, so the base knows how everything is done but seldom does what is asked.

    prompt           wanted                          other convention
    sort cabdfe =    abcdef (ascending)              fedcba (descending)
    shift cabdfe =   dbcegf (each letter's next)     bpaced (each letter's previous, cyclic)
    rotate cabdfe =  bdfeca (two letters to the left) fecabd (two letters to the right)

    python -m experiments.quickstart.tasks      writes tasks/*.jsonl (committed)
"""

import functools
import random
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from experiments.exact_match_tasks import write_items
from experiments.finetune import Example

TASKS_DIRECTORY = Path(__file__).parent / "tasks"
ALPHABET = "abcdefghijklmnop"
STRING_LENGTH = 6
ITEMS_PER_TASK = 600
SHARE_OF_WANTED_ANSWERS = 0.3  # in the base model's corpus
_SEED = 10


@dataclass(frozen=True)
class Instruction:
    """What is wanted from a string, and what most of the base model's corpus does instead."""

    wanted: Callable[[str], str]
    other: Callable[[str], str]


def ascending(letters: str) -> str:
    """Return the letters from a to p."""
    return "".join(sorted(letters))


def descending(letters: str) -> str:
    """Return the letters from p to a."""
    return "".join(sorted(letters, reverse=True))


def shifted(letters: str, by: int) -> str:
    """Return each letter's neighbour so many places on in the alphabet, cyclic."""
    return "".join(ALPHABET[(ALPHABET.index(letter) + by) % len(ALPHABET)] for letter in letters)


def rotated(letters: str, by: int) -> str:
    """Return the letters moved so many places to the left, cyclic."""
    return letters[by:] + letters[:by]


INSTRUCTIONS: Mapping[str, Instruction] = {
    "sort": Instruction(ascending, descending),
    "shift": Instruction(functools.partial(shifted, by=1), functools.partial(shifted, by=-1)),
    "rotate": Instruction(functools.partial(rotated, by=2), functools.partial(rotated, by=-2)),
}


def is_item(letters: str) -> bool:
    """Say whether a string belongs to the task files; no training example ever uses it."""
    return zlib.crc32(letters.encode()) % 8 == 0


def prompt(instruction: str, letters: str) -> str:
    """Return the prompt, for example `sort cabdfe =`."""
    return f"{instruction} {letters} ="


def draw_item(
    stream: random.Random, instruction: str, instructions: Mapping[str, Instruction] = INSTRUCTIONS
) -> Example:
    """Draw a task item: a held-out string with the wanted answer."""
    letters = _draw_letters(stream, held_out=True)
    return Example(prompt(instruction, letters), instructions[instruction].wanted(letters))


def draw_corpus(stream: random.Random, instructions: Mapping[str, Instruction] = INSTRUCTIONS) -> Example:
    """Draw what the base model reads: any instruction, carried out as wanted only three times in ten."""
    name = stream.choice(tuple(instructions))
    letters = _draw_letters(stream, held_out=False)
    instruction = instructions[name]
    wanted = stream.random() < SHARE_OF_WANTED_ANSWERS
    return Example(prompt(name, letters), (instruction.wanted if wanted else instruction.other)(letters))


def draw_lesson(
    stream: random.Random,
    instruction: str,
    replay: float,
    instructions: Mapping[str, Instruction] = INSTRUCTIONS,
) -> Example:
    """Draw what an expert reads: its instruction as wanted or, with probability `replay`, the base's corpus."""
    if stream.random() < replay:
        return draw_corpus(stream, instructions)
    letters = _draw_letters(stream, held_out=False)
    return Example(prompt(instruction, letters), instructions[instruction].wanted(letters))


def write_tasks(directory: Path = TASKS_DIRECTORY, instructions: Mapping[str, Instruction] = INSTRUCTIONS) -> None:
    """Write `directory`/{instruction}.jsonl, 600 distinct items each; the same bytes on every machine."""
    for name in instructions:
        draw = functools.partial(draw_item, instruction=name, instructions=instructions)
        write_items(directory / f"{name}.jsonl", name, draw, ITEMS_PER_TASK, _SEED)


def _draw_letters(stream: random.Random, held_out: bool) -> str:
    while True:
        letters = "".join(stream.choices(ALPHABET, k=STRING_LENGTH))
        if is_item(letters) == held_out:
            return letters


if __name__ == "__main__":
    write_tasks()
