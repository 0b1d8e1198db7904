"""A mergekit configuration's slices, gradients and filters as rules of a recipe."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from search_spaces.errors import SpaceError
from search_spaces.mergekit.document import DENSITY, Document, Slice, Source
from search_spaces.mergekit.dropped import without_dropped
from search_spaces.mergekit.parameters import NameFacts, Setting, decision_list, first_value, varies_over_depth
from search_spaces.operators.parameters import Flag, Kind, OneOf
from search_spaces.operators.registry import check_rule
from search_spaces.recipes.recipe import Input, Parameter, Rule, Where

EVERYWHERE = Where()
BASE_MEANS_DELTAS = ("nuslerp", "multislerp")  # with a base_model mergekit interpolates their task vectors


def rules_of(document: Document, depths: Callable[[], Mapping[str, int]]) -> list[Rule]:
    """Return the rules of a configuration.

    Depth t runs from 0 to 1 over the layers of a slice (1 if there is only one). What comes before the layers is made
    like the first slice at t = 0, what comes after them like the last slice at t = 1. Filters are matched against the
    output tensor's name. Without slices every stack has its own depth.

    Args:
        document: the configuration.
        depths: stack -> its depth in the donor, the main one first; asked only where it matters.
    """
    slices = document.slices
    if len(slices) == 1 and slices[0].n_layers is None and not _has_gradient(document, slices[0]):
        return _rules(document, slices[0], t=0.0)
    rules, start = [], 0
    for part in slices:
        stacks: Mapping[str | None, int] = {None: part.n_layers} if part.n_layers is not None else _stacks(depths())
        for stack, n_layers in stacks.items():
            for first, last, t in _stretches(n_layers, _has_gradient(document, part)):
                where = Where((start + first, start + last), stack=stack)
                rules += _rules(document, part, t=t, where=where)
        start += part.n_layers or 0
    before = _rules(document, slices[0], t=0.0, where=Where(side="before"))
    after = _rules(document, slices[-1], t=1.0, where=Where(side="after"))
    return [*rules, *before, *after]


def _stacks(depths: Mapping[str, int]) -> dict[str | None, int]:
    """Return the stacks to name in rules; where there is one only, layers are its."""
    if len(depths) < 2:
        return {None: next(iter(depths.values()), 0)}
    return {stack: depth for stack, depth in depths.items()}


def _stretches(n_layers: int, gradient: bool) -> Iterator[tuple[int, int, float]]:
    if not gradient:
        yield 0, n_layers, 0.0
        return
    for layer in range(n_layers):
        yield layer, layer + 1, layer / (n_layers - 1) if n_layers > 1 else 1.0


def _has_gradient(document: Document, part: Slice) -> bool:
    settings = [document.parameters, part.parameters, *(source.parameters for source in part.sources)]
    return any(varies_over_depth(setting) for level in settings for setting in level.values())


def _rules(document: Document, part: Slice, *, t: float, where: Where = EVERYWHERE) -> list[Rule]:
    rules = []
    for contains, rule in decision_list(lambda facts: _rule(document, part, t, facts)):
        rules.append(Rule(rule.operator, rule.inputs, rule.parameters, replace(where, contains=contains or None)))
        try:
            check_rule(rules[-1])
        except SpaceError as error:
            unlisted = [source.parent for source in part.sources if source.key == "base_model"]
            why = (
                "; base_model is merged too: list it under models with one, or leave base_model out" if unlisted else ""
            )
            about_it = any(f"parent {parent!r}" in str(error) for parent in unlisted)
            raise SpaceError(f"{part.key}: {error}{why if about_it else ''}") from error
    return rules


def _rule(document: Document, part: Slice, t: float, facts: NameFacts) -> Rule:
    operator, sources = document.operator, _merged_sources(document, part)
    only_base = operator.needs_base and [source.parent for source in part.sources] == [part.base]
    if only_base or (operator.name == "slerp" and len(sources) == 1):  # no task vectors, or no arc: the model itself
        return Rule("passthrough", (Input(part.sources[0].parent),))
    shared = [(f"{part.key}.parameters", part.parameters), ("parameters", document.parameters)]
    inputs = tuple(
        Input(
            source.parent,
            _values(operator.input_parameters, [(f"{source.key}.parameters", source.parameters), *shared], t, facts),
        )
        for source in sources
    )
    own = {**operator.mergekit_defaults, **_values(operator.parameters, shared, t, facts)}
    if operator.name in BASE_MEANS_DELTAS and part.base is not None:
        own["deltas"] = True
    return without_dropped(Rule(operator.name, inputs, own))


def _merged_sources(document: Document, part: Slice) -> list[Source]:
    """Return the sources that are merged: without the base for task vectors, the base first for slerp."""
    operator = document.operator
    if operator.name in BASE_MEANS_DELTAS and part.base is not None:
        return [source for source in part.sources if source.parent != part.base]
    if not operator.needs_base and operator.name != "slerp":
        return list(part.sources)
    if operator.name == "slerp" and len(part.sources) == 1:
        return list(part.sources)
    if part.base is None:
        raise SpaceError(f"base_model: expected one for {operator.name}, found none")
    if part.base not in {source.parent for source in part.sources}:
        raise SpaceError(f"{part.key}: expected the base model {part.base!r} among the sources, found none")
    if operator.name == "slerp":
        return sorted(part.sources, key=lambda source: source.parent != part.base)
    if part.base != document.donor:
        raise SpaceError(f"{part.key}.base_model: expected one base for all slices, found {part.base!r}")
    return [source for source in part.sources if source.parent != part.base]


def _values(
    known: Mapping[str, Kind], levels: list[tuple[str, Mapping[str, Setting]]], t: float, facts: NameFacts
) -> dict[str, Parameter]:
    values = {}
    for name, kind in known.items():
        value = first_value(levels, name, t, facts)
        if value is not None:
            values[name] = _converted(value, kind)
            if name == DENSITY and isinstance(values[name], float):
                values[name] = min(float(values[name]), 1.0)
    return values


def _converted(value: Parameter, kind: Kind) -> Parameter:
    if isinstance(kind, Flag) and value in (0, 1):  # mergekit takes numbers for truth values
        return bool(value)
    if isinstance(kind, OneOf) and value in (0, 1) and bool(value) in kind.also:
        return kind.also[bool(value)]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value
