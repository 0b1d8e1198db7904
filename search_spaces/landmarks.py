"""The recipes that campaigns over merges of weights score first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from search_spaces.recipe import Input, Recipe, Rule
from search_spaces.space import Landmark


def weight_landmarks(
    parents: Iterable[str], merged: Sequence[str], recipe: Callable[[Sequence[Rule]], Recipe], *, has_base: bool
) -> list[Landmark]:
    """Return each parent alone, the uniform mean, and default TIES where there is a base to take task vectors from.

    Default TIES is the paper's setting when there is no validation data: density 0.2, weights and λ 1 (Yadav et al.
    2023, section 4).

    Args:
        parents: every checkpoint, the base included.
        merged: those that are merged.
        recipe: rules -> the space's recipe.
        has_base: whether the base is none of the merged.
    """
    alone = [Landmark(parent, recipe([Rule("passthrough", (Input(parent),))])) for parent in parents]
    mean = Rule("linear", tuple(Input(parent, {"weight": 1.0}) for parent in merged), {"normalize": True})
    landmarks = [*alone, Landmark("uniform mean", recipe([mean]))]
    if has_base:
        inputs = tuple(Input(parent, {"weight": 1.0, "density": 0.2}) for parent in merged)
        ties = Rule("ties", inputs, {"normalize": True, "lambda": 1.0})
        landmarks.append(Landmark("default TIES", recipe([ties])))
    return landmarks
