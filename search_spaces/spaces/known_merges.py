"""Merges that are worth knowing before a search, written as a space would write them, and where the space has them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from search_spaces.errors import SpaceError
from search_spaces.operators.registry import check_rule, find_operator
from search_spaces.recipes.recipe import Recipe
from search_spaces.recipes.rule import Input, Parameter, Rule
from search_spaces.spaces.joint import JointSpace
from search_spaces.spaces.niches.individual import Individual
from search_spaces.spaces.niches.niche_space import NicheSpace
from search_spaces.spaces.space import Genome
from search_spaces.spaces.weight_space import WeightSpace

# Half a step of the coarsest scale: densities are multiples of 1/256.
_STEP = 1 / 512


def merged_by(
    mean: Recipe,
    operator: str,
    parents: Sequence[str],
    *,
    weight: float = 1.0,
    statistics: Mapping[str, str] | None = None,
) -> Recipe:
    """Return a space's uniform mean with another operator at its defaults, every parent's weight the same.

    Args:
        mean: the recipe of the space's own landmark, whose layers and places it keeps.
        operator: merges in place of `linear`.
        parents: what it merges.
        weight: where the operator's default is none.
        statistics: of the parents, for operators that read them.
    """
    known = find_operator(operator).input_parameters
    weights: dict[str, Parameter] = {"weight": weight} if "weight" in known and _is_open(operator, weight) else {}
    inputs = tuple(Input(parent, weights) for parent in parents)
    rules = tuple(
        replace(rule, operator=operator, inputs=inputs, parameters={}) if rule.operator == "linear" else rule
        for rule in mean.rules
    )
    return replace(mean, rules=rules, statistics=statistics or {})


def genome_of(space: WeightSpace | JointSpace, recipe: Recipe) -> Genome | None:
    """Return a genome whose merge is that of a recipe, up to rounding; None where the space has none.

    A recipe of different rules has to be written as the space's own are. One of one rule for all tensors may be written
    in another way: a parent alone and the uniform mean as task arithmetic or as a linear merge, task arithmetic with
    its scale in the weights or in λ.
    """
    made = space.decode(space.start())
    merged = max((rule.inputs for rule in made.rules), key=len)
    rule = recipe.rules[0] if recipe.rules else None
    if rule is None:
        return None
    if any(not _same(rule, other) for other in recipe.rules):
        return _as_written(space, recipe)
    for form in _forms(rule, recipe.base, [given.parent for given in merged]):
        rules = tuple(replace(form, where=old.where) for old in recipe.rules)
        statistics = made.statistics if find_operator(form.operator).statistics else {}
        try:
            genome = np.clip(space.encode(replace(recipe, rules=rules, statistics=statistics)), 0.0, 1.0)
        except SpaceError:
            continue
        found = space.decode(genome)
        places = (found.layers, found.input_scales) == (recipe.layers, recipe.input_scales)
        if places and all(_same(form, other) for other in found.rules):
            return genome
    return None


def individual_of(space: NicheSpace, recipe: Recipe) -> Individual | None:
    """Return an individual with a gain whose merge is that of a recipe of one rule; None where the space has none."""
    if recipe.pieces is not None or any(not _same(recipe.rules[0], rule) for rule in recipe.rules):
        return None
    for form in _forms(recipe.rules[0], recipe.base, space.merged):
        if form.operator == "task_arithmetic" and not form.parameters:
            try:
                return space.individual_of({i.parent: float(i.parameters["weight"]) for i in form.inputs})
            except SpaceError:
                return None
    return None


def written_by(space: object, recipe: Recipe) -> Recipe | None:
    """Return a recipe as a space of weights writes the same merge, up to rounding; None where it has none."""
    if not isinstance(space, WeightSpace | JointSpace):
        return None
    genome = genome_of(space, recipe)
    return None if genome is None else space.decode(genome)


def _as_written(space: WeightSpace | JointSpace, recipe: Recipe) -> Genome | None:
    try:
        genome = np.clip(space.encode(recipe), 0.0, 1.0)
    except SpaceError:
        return None
    found = space.decode(genome)
    alike = (found.layers, found.input_scales) == (recipe.layers, recipe.input_scales)
    alike = alike and [rule.where for rule in found.rules] == [rule.where for rule in recipe.rules]
    return genome if alike and all(map(_same, found.rules, recipe.rules)) else None


def _is_open(operator: str, weight: float) -> bool:
    return weight != 1.0 or find_operator(operator).input_parameters["weight"].default is None


def _forms(rule: Rule, base: str, merged: Sequence[str]) -> Iterator[Rule]:
    """Yield the ways to write a rule that give the same merge, its inputs always all merged parents."""
    weights = {given.parent: float(given.parameters.get("weight", 1.0)) for given in rule.inputs}
    if rule.operator != "passthrough" and set(weights) == set(merged):
        yield replace(rule, inputs=tuple(sorted(rule.inputs, key=lambda given: merged.index(given.parent))))
    alone = rule.operator == "passthrough" and list(weights) == [base] and base not in merged
    if not (set(weights) <= set(merged) or alone):
        return
    shares = {parent: weights.get(parent, 0.0) for parent in merged}
    if rule.operator in ("passthrough", "linear") and not alone:
        shares = {parent: weight / sum(weights.values()) for parent, weight in shares.items()}
        yield _weighed("linear", shares, {"normalize": True})
    elif not alone and (rule.operator != "task_arithmetic" or rule.parameters):
        return
    if base not in merged:
        yield _weighed("task_arithmetic", shares)
        scales = {weight for weight in shares.values() if weight != 0.0}
        if len(scales) == 1:
            ones = {parent: float(weight != 0.0) for parent, weight in shares.items()}
            yield _weighed("task_arithmetic", ones, {"lambda": scales.pop()})


def _weighed(operator: str, weights: Mapping[str, float], own: Mapping[str, Parameter] | None = None) -> Rule:
    return Rule(operator, tuple(Input(parent, {"weight": weight}) for parent, weight in weights.items()), own or {})


def _same(one: Rule, other: Rule) -> bool:
    """Return whether two rules merge alike, wherever they apply."""
    first, second = check_rule(one), check_rule(other)
    if (first.operator, [i.parent for i in first.inputs]) != (second.operator, [i.parent for i in second.inputs]):
        return False
    pairs = [(first.parameters, second.parameters)]
    pairs += [(a.parameters, b.parameters) for a, b in zip(first.inputs, second.inputs, strict=True)]
    return all(_near(a[name], b[name]) for a, b in pairs for name in a)


def _near(one: Parameter, other: Parameter) -> bool:
    if isinstance(one, bool | str) or isinstance(other, bool | str):
        return one == other
    return math.isclose(one, other, rel_tol=0.0, abs_tol=_STEP)
