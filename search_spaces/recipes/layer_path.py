"""The path of a token through the layers of several models: its steps, and how it is written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

from search_spaces.recipes.recipe import Recipe
from search_spaces.recipes.rule import Input, Rule, Where

Half = Literal["attention", "mlp"]
HALVES: tuple[Half, ...] = get_args(Half)

# What the model is called that a joint space merges from all parents; no parent can have the name there.
MERGED = "merged"


class Step(NamedTuple):
    """One layer that is run."""

    source: str  # a parent's name, or "merged"
    layer: int  # which of its layers
    without: Half | None = None  # the half of it that is not run; None: it is run whole


def steps_of(recipe: Recipe) -> list[Step]:
    """Return the steps of a recipe's output layers; none if the recipe keeps the base's layers.

    A layer that is made from several parents is one of the merged model.
    """
    without = {
        rule.where.layers[0]: half
        for rule in recipe.rules
        for half in HALVES
        if is_silence(rule) and rule.where.layers is not None and rule.where.module == half
    }
    return [
        Step(MERGED if len(sources) > 1 else parent, layer, without.get(k))
        for k, sources in enumerate(recipe.layers or ())
        for parent, layer in list(sources.items())[:1]
    ]


def silence(half: Half, outlet: str, *, layer: int, parent: str) -> Rule:
    """Return the rule by which a half of an output layer writes nothing: what it writes through is zero.

    `outlet` is a part of these tensors' names; `parent` is one that the layer is made of.
    """
    where = Where(layers=(layer, layer + 1), module=half, contains=(outlet,))
    return Rule("passthrough", (Input(parent, {"scale": 0.0}),), where=where)


def is_silence(rule: Rule) -> bool:
    """Return whether a rule is one of `silence`."""
    return (
        rule.operator == "passthrough"
        and rule.where.contains is not None
        and rule.where.module in HALVES
        and rule.inputs[0].parameters.get("scale") == 0.0
    )


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
        if found and found[-1][-1] == step._replace(layer=step.layer - 1):
            found[-1].append(step)
        else:
            found.append([step])
    return found


def _run_text(run: Sequence[Step]) -> str:
    first, last = run[0], run[-1]
    layers = f"{first.source} {first.layer}" + (f"-{last.layer}" if last.layer > first.layer else "")
    return layers if first.without is None else f"{layers} without {first.without}"
