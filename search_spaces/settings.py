"""Settings: the parameter values of one group, and the rule that they make."""

from __future__ import annotations

import bisect
from collections.abc import Mapping, Sequence

from search_spaces.genes import Key
from search_spaces.operators.averages import VANISHING_SUM
from search_spaces.operators.registry import Operator
from search_spaces.recipe import Input, Parameter, Rule, Where
from search_spaces.scales import Linear, Quantised

Setting = Mapping[Key, float]

# Weights that cancel to less than this share of Σ|w| cannot be normalised: the merge would explode.
CANCELLING_SHARE = 1e-3


def rule_of(
    operator: Operator, setting: Setting, *, merged: Sequence[str], fixed: Mapping[str, Parameter], where: Where
) -> Rule:
    """Return the rule that merges some parents with a setting's values; `fixed` are more operator parameters."""
    inputs = tuple(
        Input(parent, {name: setting[name, parent] for name in operator.input_parameters if (name, parent) in setting})
        for parent in merged
    )
    own: dict[str, Parameter] = {name: setting[name, None] for name in operator.parameters if (name, None) in setting}
    return Rule(operator.name, inputs, {**{n: v for n, v in fixed.items() if n in operator.parameters}, **own}, where)


def cancels(weights: Sequence[float]) -> bool:
    """Return whether weights leave too little to divide by."""
    return abs(sum(weights)) <= max(VANISHING_SUM, CANCELLING_SHARE * sum(map(abs, weights)))


def with_sound_weights(setting: Setting, fallback: float) -> Setting:
    """Return the setting, with every weight replaced by the fallback when the weights cancel."""
    weights = [value for (name, _), value in setting.items() if name == "weight"]
    if not cancels(weights):
        return setting
    return {key: fallback if key[0] == "weight" else value for key, value in setting.items()}


def at_layer(
    layer: int, *, knots: Sequence[int], settings: Sequence[Setting], scales: Mapping[str, Linear | Quantised]
) -> Setting:
    """Return the setting on the straight line between the knots around a layer, snapped to each parameter's scale.

    Args:
        layer: between the first knot and the last.
        knots: ascending layers.
        settings: one per knot, with the same keys.
        scales: the scale of every parameter that varies.
    """
    if len(knots) == 1:
        return settings[0]
    right = min(bisect.bisect_right(knots, layer), len(knots) - 1)
    left = right - 1
    share = (layer - knots[left]) / (knots[right] - knots[left])
    if share in (0.0, 1.0):
        return settings[left if share == 0.0 else right]
    ends = settings[left], settings[right]
    return {key: _snapped(ends[0][key] + share * (ends[1][key] - ends[0][key]), scales.get(key[0])) for key in ends[0]}


def _snapped(value: float, scale: Linear | Quantised | None) -> float:
    return value if scale is None else scale.value(scale.gene(value))
