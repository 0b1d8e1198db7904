"""Families of tiny models beside the quickstart's: other instructions on strings of letters, other seeds.

`codes` has five experts whose instructions overwrite each other's (two of them map letters, three move them); the four
experts of `adapters` are LoRA adapters of rank 8 with half of the base's corpus among their lessons, so they are
low-rank and conflict less; `crowd` has twelve experts, three of each of four instructions, for claims about many
models.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from experiments.finetune import Schedule, train_expert
from experiments.quickstart.tasks import (
    ALPHABET,
    Instruction,
    ascending,
    descending,
    draw_lesson,
    rotated,
    shifted,
    write_tasks,
)
from experiments.quickstart.train import BASE_SCHEDULE, train_base


def _swapped(letters: str) -> str:
    return "".join(letters[i + 1] + letters[i] for i in range(0, len(letters), 2))


def _mirrored(letters: str) -> str:
    return "".join(ALPHABET[-1 - ALPHABET.index(letter)] for letter in letters)


def _doubled(letters: str, first: int) -> str:
    return "".join(2 * letter for letter in letters[first::2])


def _outside_in(letters: str) -> str:
    half = len(letters) // 2
    return "".join(a + b for a, b in zip(letters[:half], reversed(letters), strict=False))


CODES: Mapping[str, Instruction] = {
    "reverse": Instruction(lambda letters: letters[::-1], functools.partial(rotated, by=3)),
    "swap": Instruction(_swapped, lambda letters: letters[-1] + letters[1:-1] + letters[0]),
    "mirror": Instruction(_mirrored, functools.partial(shifted, by=8)),
    "back": Instruction(functools.partial(shifted, by=-2), functools.partial(shifted, by=2)),
    "double": Instruction(functools.partial(_doubled, first=0), functools.partial(_doubled, first=1)),
}
TURNS: Mapping[str, Instruction] = {
    "descend": Instruction(descending, ascending),
    "jump": Instruction(functools.partial(shifted, by=3), functools.partial(shifted, by=-3)),
    "turn": Instruction(functools.partial(rotated, by=1), functools.partial(rotated, by=-1)),
    "fold": Instruction(_outside_in, lambda letters: _outside_in(letters)[::-1]),
}


@dataclass(frozen=True)
class Letters:
    """How one family is made.

    Attributes:
        instructions: the tasks; each has experts.
        seed: of the base's weights and of every stream of examples.
        schedule: of the experts; each has a seed of its own.
        replay: share of the base's corpus in an expert's lessons.
        rank: of the experts' LoRA adapters; None: all their weights are trained.
        copies: experts of each instruction.
    """

    instructions: Mapping[str, Instruction]
    seed: int
    schedule: Schedule
    replay: float
    rank: int | None = None
    copies: int = 1

    @property
    def experts(self) -> dict[str, str]:
        """Expert -> its instruction."""
        numbers = range(1, self.copies + 1)
        return {f"{n}{k}" if self.copies > 1 else n: n for k in numbers for n in self.instructions}

    def train(self, directory: Path) -> None:
        """Train the base and every expert that `directory` lacks, and write the task files beside them."""
        base = directory / "base"
        train_base(base, self.instructions, schedule=replace(BASE_SCHEDULE, seed=self.seed + 1), seed=self.seed)
        for number, (expert, name) in enumerate(self.experts.items()):
            draw = functools.partial(draw_lesson, instruction=name, replay=self.replay, instructions=self.instructions)
            schedule = replace(self.schedule, seed=self.seed + 5 + number)
            train_expert(base, directory / expert, draw, schedule, rank=self.rank)
        write_tasks(directory / "tasks", self.instructions)


_WHOLE = Schedule(steps=80, batch_size=64, learning_rate=5e-4, seed=0)
LETTERS: Mapping[str, Letters] = {
    "codes": Letters(CODES, 100, _WHOLE, replay=0.15),
    "adapters": Letters(TURNS, 200, replace(_WHOLE, steps=120, learning_rate=5e-3), replay=0.5, rank=8),
    "crowd": Letters(TURNS, 300, _WHOLE, replay=0.15, copies=3),
}
