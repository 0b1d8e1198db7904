"""mergekit's YAML to recipes, for the merge methods that are operators here.

What cannot be honoured is refused with its key, never ignored. Two differences in numbers are meant: arithmetic is
float32 whatever `dtype` says (the result is rounded once, to `out_dtype`, else `dtype`), and DARE's random masks are
seeded by tensor name, so they are others than mergekit's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import cast, get_args

import yaml

from search_spaces.errors import SpaceError
from search_spaces.mergekit.document import Document, Slice, Source, read_document
from search_spaces.mergekit.parameters import NameFacts, Setting, decision_list, first_value, varies_over_depth
from search_spaces.mergekit.requested import RequestedStatistics
from search_spaces.operators.parameters import Flag, Kind, OneOf
from search_spaces.operators.registry import check_rule
from search_spaces.parents.checkpoint import Checkpoint
from search_spaces.recipes.recipe import ExportDtype, Input, Parameter, Recipe, Rule, Where

EVERYWHERE = Where()
BASE_MEANS_DELTAS = ("nuslerp", "multislerp")  # with a base_model mergekit interpolates their task vectors


def read_mergekit(path: Path) -> Recipe:
    """Return the recipe that a mergekit configuration describes.

    Parents are found relative to the file, else to the working directory, else they are hub ids. The first one is
    opened (its headers only) when the file alone does not tell the depth for a gradient, or the dtype.

    Raises:
        SpaceError: the file cannot be read, or asks for what cannot be honoured; the message names file and key.
    """
    return _recipe_and_request(path)[0]


def requested_statistics(path: Path) -> RequestedStatistics | None:
    """Return what the parents of a mergekit configuration are to read; None where it does not say.

    Raises:
        SpaceError: see `read_mergekit`.
    """
    return _recipe_and_request(path)[1]


def _recipe_and_request(path: Path) -> tuple[Recipe, RequestedStatistics | None]:
    try:
        document = read_document(yaml.safe_load(path.read_text(encoding="utf-8")), path.parent)
        return _recipe(document), document.requested
    except OSError as error:
        raise SpaceError(f"{path}: expected a readable file, found: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise SpaceError(f"{path}: expected YAML, found: {' '.join(str(error).split())}") from error
    except SpaceError as error:
        raise SpaceError(f"{path}: {error}") from error


def _recipe(document: Document) -> Recipe:
    layers = [
        {source.parent: source.first_layer + i for source in part.sources}
        for part in document.slices
        for i in range(part.n_layers or 0)
    ]
    return Recipe(
        parents=document.parents,
        base=document.donor,
        rules=tuple(rules_of(document, lambda: _donor(document).architecture.depths)),
        dtype=_dtype(document),
        layers=tuple(layers) or None,
        tokenizer=document.tokenizer,
    )


def _donor(document: Document) -> Checkpoint:
    return Checkpoint.open(document.parents[document.donor])


def _dtype(document: Document) -> ExportDtype:
    dtype = document.dtype
    if dtype is None:
        checkpoint = _donor(document)
        dtype = str(checkpoint.dtype(checkpoint.names[0])).removeprefix("torch.")
    if dtype not in get_args(ExportDtype):
        raise SpaceError(f"dtype: expected one of {list(get_args(ExportDtype))}, found {dtype!r}")
    return cast(ExportDtype, dtype)


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
            raise SpaceError(f"{part.key}: {error}") from error
    return rules


def _rule(document: Document, part: Slice, t: float, facts: NameFacts) -> Rule:
    operator, sources = document.operator, _merged_sources(document, part)
    if operator.needs_base and [source.parent for source in part.sources] == [part.base]:
        return Rule("passthrough", (Input(part.sources[0].parent),))  # no task vectors: the base itself
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
    return Rule(operator.name, inputs, own)


def _merged_sources(document: Document, part: Slice) -> list[Source]:
    """Return the sources that are merged: without the base for task vectors, the base first for slerp."""
    operator = document.operator
    if operator.name in BASE_MEANS_DELTAS and part.base is not None:
        return [source for source in part.sources if source.parent != part.base]
    if not operator.needs_base and operator.name != "slerp":
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
    return values


def _converted(value: Parameter, kind: Kind) -> Parameter:
    if isinstance(kind, Flag) and value in (0, 1):  # mergekit takes numbers for truth values
        return bool(value)
    if isinstance(kind, OneOf) and value in (0, 1) and bool(value) in kind.also:
        return kind.also[bool(value)]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value
