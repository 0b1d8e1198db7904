"""The path of a token through the layers of several models: its steps, and how it is written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from search_spaces.recipes.recipe import Recipe

# What the model is called that a joint space merges from all parents; no parent can have the name there.
MERGED = "merged"


class Step(NamedTuple):
    """One layer that is run."""

    source: str  # a parent's name, or "merged"
    layer: int  # which of its layers


def steps_of(recipe: Recipe) -> list[Step]:
    """Return the steps of a recipe's output layers; none if the recipe keeps the base's layers.

    A layer that is made from several parents is one of the merged model.
    """
    return [
        Step(MERGED if len(sources) > 1 else parent, layer)
        for sources in recipe.layers or ()
        for parent, layer in list(sources.items())[:1]
    ]


def path_text(recipe: Recipe) -> str:
    """Return the path on one line, e.g. `alpha 0-11, beta 4-9, alpha 20-29`; empty without a path of its own."""
    return ", ".join(_run_text(run) for run in runs(steps_of(recipe)))


def scales_text(recipe: Recipe) -> str:
    """Return between what its input scales lie, e.g. `scales 0.93 to 1.1`; empty where all are 1."""
    if recipe.input_scales is None:
        return ""
    return f"scales {min(recipe.input_scales):.2g} to {max(recipe.input_scales):.2g}"


def runs(steps: Sequence[Step]) -> list[list[Step]]:
    """Return the steps as runs of consecutive layers of one source."""
    found: list[list[Step]] = []
    for step in steps:
        if found and found[-1][-1] == Step(step.source, step.layer - 1):
            found[-1].append(step)
        else:
            found.append([step])
    return found


def _run_text(run: Sequence[Step]) -> str:
    first, last = run[0], run[-1]
    return f"{first.source} {first.layer}" + (f"-{last.layer}" if last.layer > first.layer else "")
