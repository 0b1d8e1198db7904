"""What the layer-flow benchmark scores: candidates that are paths over layers, drawn around a common ancestor."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from evomerge.candidate import Candidate
from experiments.benchmarks.scoring_cases import capitals
from fitness.engine.model.tokenizer import load_tokenizer
from fitness.scores import Split
from fitness.tasks.items import MultipleChoice, Task
from fitness.tasks.sources import make_suite
from fitness.tasks.suite import TaskSuite
from search_spaces.parents.parents import Parents
from search_spaces.recipes.groups import n_layers
from search_spaces.recipes.recipe import Input, ParentSource, Recipe, Rule, Where

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
    sources: Mapping[str, ParentSource], draw: str, n: int, *, disagreement: float, seed: int
) -> list[Candidate]:
    """Return candidates around the base itself.

    Args:
        sources: name -> parent, the base first; all of one width.
        draw: one of `DRAWS`.
        n: how many.
        disagreement: in what share of their indicators two candidates are expected to disagree, below 0.5.
        seed: of the draw.
    """
    parents = Parents.open(sources, base=BASE)
    steps = [(name, layer) for name in sources for layer in range(n_layers(parents[name].names))]
    ancestor = tuple(name == BASE for name, _ in steps)
    drawn = DRAWS[draw](ancestor, n, flip_chance(disagreement), random.Random(seed))
    return [
        Candidate(number, _recipe([step for step, bit in zip(steps, bits, strict=True) if bit], sources))
        for number, bits in enumerate(drawn)
    ]


def _recipe(steps: Sequence[tuple[str, int]], sources: Mapping[str, ParentSource]) -> Recipe:
    """Return the recipe of a path; outside of the layers it is the base."""
    rules = [Rule("passthrough", (Input(name),), where=Where(layers=(i, i + 1))) for i, (name, _) in enumerate(steps)]
    return Recipe(
        dict(sources),
        BASE,
        (*rules, Rule("passthrough", (Input(BASE),))),
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
    shares: dict[Split, float] = {"search": 1.0, "validation": 0.0, "test": 0.0}
    return make_suite([Task("capitals", tuple(items), "margin")], tokenizer=tokenizer, shares=shares, seed=0)
