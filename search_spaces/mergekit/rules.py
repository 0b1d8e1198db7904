"""A mergekit configuration's slices, gradients and filters as rules of a recipe."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

from search_spaces.architecture.architecture import Architecture
from search_spaces.errors import SpaceError
from search_spaces.mergekit.document import DENSITY, Document, Slice, Source
from search_spaces.mergekit.dropped import without_dropped
from search_spaces.mergekit.modules import BETWEEN, check_kept, keeps_layers, stack_of
from search_spaces.mergekit.parameters import NameFacts, Setting, decision_list, first_value, varies_over_depth
from search_spaces.operators.parameters import Flag, Kind, OneOf
from search_spaces.operators.registry import check_rule
from search_spaces.recipes.rule import Input, Parameter, Rule, Where

EVERYWHERE = Where()
BASE_MEANS_DELTAS = ("nuslerp", "multislerp")  # with a base_model mergekit interpolates their task vectors


def rules_of(document: Document, architecture: Callable[[], Architecture]) -> list[Rule]:
    """Return the rules of a configuration.

    Depth t runs from 0 to 1 over the layers of a slice (1 if there is only one). What comes before the layers is made
    like the first slice at t = 0, what comes after them like the last slice at t = 1. Filters are matched against the
    output tensor's name. Without slices every stack has its own depth. What none of the `modules` has is the donor's.

    Args:
        document: the configuration.
        architecture: the donor's; asked only where it matters.
    """
    whole = document.modules.get(None)
    if whole is not None:
        return _of_stack(document, whole, None, lambda: _stacks(architecture().depths))
    rules, known = [], architecture()
    for module, slices in document.modules.items():
        stack = stack_of(module or "", known)
        if stack == BETWEEN:
            rules += _rules(document, slices[0], t=0.0, where=Where(stack=BETWEEN))
            continue
        if stack is None:
            return _of_stack(document, slices, None, lambda: {None: known.depth})
        check_kept(slices, stack, known)
        rules += _of_stack(document, slices, stack, partial(dict, {stack: known.depths[stack]}))
    return [*rules, Rule("passthrough", (Input(document.donor),))]


def _of_stack(
    document: Document, slices: Sequence[Slice], stack: str | None, stacks: Callable[[], Mapping[str | None, int]]
) -> list[Rule]:
    """Return the rules of a stack; of all, where `stack` is None: `stacks` are then those that have layers."""
    if len(slices) == 1 and not _has_gradient(document, slices[0]) and (stack or slices[0].n_layers is None):
        return _rules(document, slices[0], t=0.0, where=Where(stack=stack))
    rules, start = [], 0
    for part in slices:
        depths = {stack: part.n_layers} if part.n_layers is not None else stacks()
        for name, n_layers in depths.items():
            for first, last, t in _stretches(n_layers, _has_gradient(document, part)):
                rules += _rules(document, part, t=t, where=Where((start + first, start + last), stack=name))
        start += part.n_layers or 0
    before = _rules(document, slices[0], t=0.0, where=Where(side="before", stack=stack))
    after = _rules(document, slices[-1], t=1.0, where=Where(side="after", stack=stack))
    return [*rules, *before, *after]


def layers_of(document: Document, architecture: Callable[[], Architecture]) -> list[dict[str, int]]:
    """Return the output's layers, each parent -> its layer; none where they are the donor's own."""
    slices = document.modules.get(None)
    if slices is None:
        known = architecture()
        main = (None, *list(known.depths)[:1])
        slices = next((s for m, s in document.modules.items() if stack_of(m or "", known) in main), ())
        slices = () if keeps_layers(slices, known.depth) else slices
    return [
        {source.parent: source.first_layer + i for source in part.sources}
        for part in slices
        for i in range(part.n_layers or 0)
    ]


def left_out(document: Document, architecture: Architecture) -> list[str]:
    """Return the stacks that none of the document's modules is."""
    if None in document.modules:
        return []
    named = {stack_of(module or "", architecture) for module in document.modules}
    return [] if None in named else [stack for stack in architecture.depths if stack not in named]


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
    around = [settings for _, settings in part.levels]
    settings = [document.parameters, *around, *(source.parameters for source in part.sources)]
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
    shared = [*part.levels, ("parameters", document.parameters)]
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
