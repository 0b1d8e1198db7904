"""Density 0 in mergekit's files: the parent's task vector is dropped whole, which no operator's density can say."""

from __future__ import annotations

from dataclasses import replace

from search_spaces.operators.registry import OPERATORS
from search_spaces.recipes.rule import Input, Rule

_DENSITY, _WEIGHT, _NORMALIZE = "density", "weight", "normalize"
_VANISHING_SUM = 1e-8  # mergekit divides by no smaller sum


def without_dropped(rule: Rule) -> Rule:
    """Return the rule with weight 0 in place of density 0.

    Where parents vote on signs, a parent without task vector takes no part either way. Where they do not, `normalize`
    divides by its weight too: then the weights are divided here, and not normalised again.
    """
    operator = OPERATORS[rule.operator]
    dropped = [given.parameters.get(_DENSITY) == 0.0 for given in rule.inputs]
    if not any(dropped) or _WEIGHT not in operator.input_parameters:
        return rule
    own, total = dict(rule.parameters), 1.0
    if own.get(_NORMALIZE) is True and "zero_sign" not in operator.parameters:  # by default only those that vote do
        own[_NORMALIZE] = False
        weights = [given.parameters.get(_WEIGHT) for given in rule.inputs]
        total = sum(weight for weight in weights if isinstance(weight, int | float))
    inputs = (
        _input(given, drop, total if abs(total) >= _VANISHING_SUM else 1.0)
        for given, drop in zip(rule.inputs, dropped, strict=True)
    )
    return replace(rule, inputs=tuple(inputs), parameters=own)


def _input(given: Input, drop: bool, total: float) -> Input:
    if drop:
        return Input(given.parent, {**given.parameters, _WEIGHT: 0.0, _DENSITY: 1.0})
    weight = given.parameters.get(_WEIGHT)
    if total == 1.0 or not isinstance(weight, int | float):
        return given
    return Input(given.parent, {**given.parameters, _WEIGHT: weight / total})
