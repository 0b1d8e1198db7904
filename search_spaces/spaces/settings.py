"""Settings: the operator and the parameter values of one group, and the rule that they make."""

from __future__ import annotations

import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from search_spaces.operators.operator import Operator
from search_spaces.operators.scales import Scale
from search_spaces.recipes.recipe import Input, Parameter, Rule, Where
from search_spaces.spaces.genes import Key
from search_spaces.spaces.soup_weights import SoupWeights

# Weights that cancel to less than this share of Σ|w| cannot be normalised: the merge would explode.
CANCELLING_SHARE = 1e-3
VANISHING_SUM = 1e-8


@dataclass(frozen=True)
class Setting:
    """How the tensors of one group are merged.

    Attributes:
        operator: the method.
        values: parameters; those that the operator does not have are without effect.
        soup: makes the weights of their coordinates among the values; None where the values are the weights.
    """

    operator: Operator
    values: Mapping[Key, Parameter]
    soup: SoupWeights | None = None

    def rule(self, merged: Sequence[str], where: Where) -> Rule:
        """Return the rule that merges some parents so."""
        known, values = self.operator, self.soup.weighed(self.values) if self.soup else self.values
        inputs = tuple(
            Input(parent, {name: values[name, parent] for name in known.input_parameters if (name, parent) in values})
            for parent in merged
        )
        own = {name: values[name, None] for name in known.parameters if (name, None) in values}
        return Rule(known.name, inputs, own, where)

    @property
    def cancels(self) -> bool:
        """Whether the operator divides by weights that leave too little to divide by."""
        if self.soup is not None:
            return False  # they sum to 1
        weights = [float(value) for (name, _), value in self.values.items() if name == "weight"]
        own = {name: value for (name, parent), value in self.values.items() if parent is None}
        return self.operator.needs_sound_weights(own) and abs(sum(weights)) <= max(
            VANISHING_SUM, CANCELLING_SHARE * sum(map(abs, weights))
        )

    def sound(self, scales: Mapping[Key, Scale]) -> Setting:
        """Return the setting, every searched weight at its bound farther from zero when the weights cancel."""
        if not self.cancels:
            return self
        bounds = {key: (scale.value(0.0), scale.value(1.0)) for key, scale in scales.items() if key[0] == "weight"}
        farther = {key: max(ends, key=lambda end: abs(float(end))) for key, ends in bounds.items()}
        return replace(self, values={**self.values, **farther})


def at_layer(layer: int, *, knots: Sequence[int], settings: Sequence[Setting], scales: Mapping[Key, Scale]) -> Setting:
    """Return the setting on the straight line between the knots around a layer, snapped to each parameter's scale.

    Between knots of different operators, and for parameters that are no numbers, the nearer knot counts (the left one
    in the middle).

    Args:
        layer: between the first knot and the last.
        knots: ascending layers.
        settings: one per knot.
        scales: the scale of every parameter that varies.
    """
    if len(knots) == 1:
        return settings[0]
    right = min(bisect.bisect_right(knots, layer), len(knots) - 1)
    left = right - 1
    share = (layer - knots[left]) / (knots[right] - knots[left])
    nearer = settings[left if share <= 0.5 else right]
    if share in (0.0, 1.0) or settings[left].operator != settings[right].operator:
        return nearer
    ends = settings[left].values, settings[right].values
    return replace(
        nearer,
        values={
            key: _between(ends[0][key], ends[1][key], share, scale) if (scale := scales.get(key)) else value
            for key, value in nearer.values.items()
        },
    )


def _between(left: Parameter, right: Parameter, share: float, scale: Scale) -> Parameter:
    if isinstance(left, bool | str) or isinstance(right, bool | str):
        return left if share <= 0.5 else right
    return scale.value(scale.gene(left + share * (right - left)))
