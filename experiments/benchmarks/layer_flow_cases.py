"""What the layer-flow benchmark scores: candidates that are paths over layers, drawn around a common ancestor."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import evomerge as em
from experiments.benchmarks.scoring_cases import capitals
from fitness import MultipleChoice, Task, TaskSuite, load_tokenizer, make_suite
from search_spaces import Parents, n_layers

BASE = "base"

Indicators = tuple[bool, ...]  # which layers are run: of every parent, one parent after the other
Draw = Callable[[Indicators, int, float, random.Random], list[Indicators]]


def as_drawn(ancestor: Indicators, n: int, chance: float, stream: random.Random) -> list[Indicators]:
    """Flip every indicator with the same chance."""
    return [_flipped(ancestor, [chance] * len(ancestor), stream) for _ in range(n)]


def different(ancestor: Indicators, n: int, chance: float, stream: random.Random) -> list[Indicators]:
    """Flip every indicator with the same chance, until all candidates are different."""
    return _different(ancestor, n, [chance] * len(ancestor), stream)


def late(ancestor: Indicators, n: int, chance: float, stream: random.Random) -> list[Indicators]:
    """Flip indicators with a chance that grows with their place, until all candidates are different."""
    size = len(ancestor)
    return _different(ancestor, n, [chance * (2 * place + 1) / size for place in range(size)], stream)


DRAWS: Mapping[str, Draw] = {"as_drawn": as_drawn, "different": different, "late": late}


def _different(ancestor: Indicators, n: int, chances: Sequence[float], stream: random.Random) -> list[Indicators]:
    found: dict[Indicators, None] = {}
    while len(found) < n:
        found[_flipped(ancestor, chances, stream)] = None
    return list(found)


def _flipped(ancestor: Indicators, chances: Sequence[float], stream: random.Random) -> Indicators:
    return tuple(bit != (stream.random() < chance) for bit, chance in zip(ancestor, chances, strict=True))


def flip_chance(disagreement: float) -> float:
    """Return the chance f of each flip with which two candidates disagree in a share 2 f (1 - f) of their bits."""
    return (1.0 - math.sqrt(1.0 - 2.0 * disagreement)) / 2.0


def candidates(
    sources: Mapping[str, em.ParentSource], draw: str, n: int, *, disagreement: float, seed: int
) -> list[em.Candidate]:
    """Return n candidates around the base, the first source, of which two disagree in that share of their bits."""
    parents = Parents.open(sources, base=BASE)
    steps = [(name, layer) for name in sources for layer in range(n_layers(parents[name].names))]
    ancestor = tuple(name == BASE for name, _ in steps)
    drawn = DRAWS[draw](ancestor, n, flip_chance(disagreement), random.Random(seed))
    return [
        em.Candidate(number, _recipe([step for step, bit in zip(steps, bits, strict=True) if bit], sources))
        for number, bits in enumerate(drawn)
    ]


def _recipe(steps: Sequence[tuple[str, int]], sources: Mapping[str, em.ParentSource]) -> em.Recipe:
    """Return the recipe of a path; outside of the layers it is the base."""
    rules = [
        em.Rule("passthrough", (em.Input(name),), where=em.Where(layers=(i, i + 1)))
        for i, (name, _) in enumerate(steps)
    ]
    return em.Recipe(
        dict(sources),
        BASE,
        (*rules, em.Rule("passthrough", (em.Input(BASE),))),
        dtype="float32",
        layers=tuple({name: layer} for name, layer in steps),
    )


def fitness(directory: Path, *, n_items: int, n_shots: int) -> TaskSuite:
    """Return real questions of four choices, scored by the margin of the right one: a number that shows every bit."""
    tokenizer = load_tokenizer(directory)
    questions = capitals(tokenizer)[: n_shots + n_items]
    header = "".join(question.solved for question in questions[:n_shots])
    items = [
        MultipleChoice(str(i), header + question.text, question.answers, question.right)
        for i, question in enumerate(questions[n_shots:])
    ]
    task = Task("capitals", tuple(items), "margin")
    return make_suite([task], tokenizer=tokenizer, shares={"search": 1.0, "validation": 0.0, "test": 0.0}, seed=0)
