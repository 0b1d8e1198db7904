"""The structure of a mergekit configuration: checked plain data, parents found, nothing interpreted yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search_spaces.errors import SpaceError
from search_spaces.mergekit.models import FoundParents, mapping, read_tokenizer, sequence
from search_spaces.mergekit.parameters import Setting
from search_spaces.mergekit.requested import KEY, RequestedStatistics, read_requested
from search_spaces.operators.registry import OPERATORS, Operator, nearest_name
from search_spaces.recipes.recipe import OutputTokenizer, ParentSource

KEYS = (
    "merge_method",
    "base_model",
    "models",
    "slices",
    "parameters",
    "dtype",
    "out_dtype",
    "tokenizer_source",
    "tokenizer",
    "chat_template",
    KEY,  # ours: mergekit's methods read no more than weights
)
# Accepted, and rightly ignored: how mergekit stores masks, and what its task arithmetic declares but never uses.
WITHOUT_EFFECT: Mapping[str, set[str]] = {"task_arithmetic": {"density", "rescale"}}
INT8_MASK = "int8_mask"


@dataclass(frozen=True)
class Source:
    """One entry of `models`, or one source of a slice."""

    key: str  # where it stands in the file
    parent: str  # its name among the document's parents
    parameters: Mapping[str, Setting]  # its own settings
    first_layer: int = 0  # where its layers start


@dataclass(frozen=True)
class Slice:
    """A run of output layers; a file with `models` is one slice over the whole depth."""

    key: str
    sources: tuple[Source, ...]  # what is merged; the base is among them
    base: str | None  # its own base_model, else the file's; None if neither is given
    n_layers: int | None  # how many; None for the parents' whole depth
    parameters: Mapping[str, Setting]


@dataclass(frozen=True)
class Document:
    """A whole configuration."""

    operator: Operator
    # name -> source, in order of appearance; names are the last parts of paths, made unique
    parents: Mapping[str, ParentSource]
    donor: str  # the parent that gives config and tokenizer: base_model, else the first one
    slices: tuple[Slice, ...]
    parameters: Mapping[str, Setting]
    dtype: str | None  # out_dtype, else dtype; None if neither is given
    tokenizer: OutputTokenizer  # the output's
    requested: RequestedStatistics | None = None  # what parents are to read; None where the file does not say


def read_document(data: object, directory: Path) -> Document:
    """Return what a YAML's plain data say; paths are looked up in the directory first."""
    top = mapping(data, "the file", KEYS)
    operator = _operator(top.get("merge_method"))
    if bool(top.get("models")) == bool(top.get("slices")):
        raise SpaceError("models, slices: expected exactly one of the two keys")
    found = FoundParents(directory)
    base = found.name(top["base_model"], "base_model") if top.get("base_model") else None
    if top.get("slices"):
        slices = [
            _slice(s, f"slices[{i}]", operator, found, base) for i, s in enumerate(sequence(top["slices"], "slices"))
        ]
    else:
        slices = [_whole_depth(top["models"], operator, found, base)]
    donor = base or slices[0].sources[0].parent
    tokenizer = read_tokenizer(top, found.name)
    dtype = top.get("out_dtype") or top.get("dtype")
    return Document(
        operator,
        found.sources,
        donor,
        tuple(slices),
        _parameters(top, "", operator),
        None if dtype is None else str(dtype),
        tokenizer,
        None if top.get(KEY) is None else read_requested(top[KEY], found, directory),
    )


def _operator(method: object) -> Operator:
    if not isinstance(method, str) or method not in OPERATORS:
        raise SpaceError(
            f"merge_method: expected one of {list(OPERATORS)}, found {method!r}{nearest_name(str(method), OPERATORS)}"
        )
    return OPERATORS[method]


def _whole_depth(models: object, operator: Operator, found: FoundParents, base: str | None) -> Slice:
    sources = []
    for i, entry in enumerate(sequence(models, "models")):
        key = f"models[{i}]"
        model = mapping(entry, key, ("model", "parameters"))
        parent = found.name(model.get("model"), f"{key}.model")
        sources.append(Source(key, parent, _parameters(model, f"{key}.", operator, of_parent=True)))
    # mergekit's rule: the base takes part, listed or not. Methods that it does not have average what is listed.
    only_listed = bool(operator.statistics) and not operator.needs_base
    if base is not None and not only_listed and base not in {source.parent for source in sources}:
        sources.append(Source("base_model", base, {}))
    return Slice("models", tuple(sources), base, None, {})


def _slice(entry: object, key: str, operator: Operator, found: FoundParents, base: str | None) -> Slice:
    data = mapping(entry, key, ("sources", "base_model", "parameters"))
    sources, lengths = [], set()
    for i, item in enumerate(sequence(data.get("sources"), f"{key}.sources")):
        own = f"{key}.sources[{i}]"
        source = mapping(item, own, ("model", "layer_range", "parameters"))
        parent = found.name(source.get("model"), f"{own}.model")
        first, last = _layer_range(source.get("layer_range"), f"{own}.layer_range")
        lengths.add(last - first)
        sources.append(Source(own, parent, _parameters(source, f"{own}.", operator, of_parent=True), first))
    if len(lengths) > 1:
        raise SpaceError(f"{key}.sources: expected as many layers from each, found {sorted(lengths)}")
    if len({source.parent for source in sources}) < len(sources):
        raise SpaceError(f"{key}.sources: expected each model once, found one twice")
    if data.get("base_model"):
        base = found.name(data["base_model"], f"{key}.base_model")
    return Slice(key, tuple(sources), base, lengths.pop(), _parameters(data, f"{key}.", operator))


def _parameters(
    data: Mapping[str, Any], prefix: str, operator: Operator, *, of_parent: bool = False
) -> Mapping[str, Setting]:
    known = {*operator.input_parameters, *(() if of_parent else operator.parameters)}
    ignored = WITHOUT_EFFECT.get(operator.name, set()) | {INT8_MASK}
    settings = mapping(data.get("parameters") or {}, f"{prefix}parameters", (*known, *ignored))
    return {name: setting for name, setting in settings.items() if name not in ignored}


def _layer_range(value: object, key: str) -> tuple[int, int]:
    match value:
        case [int(first), int(last)] if 0 <= first < last:
            return first, last
    raise SpaceError(f"{key}: expected [first, last) with 0 <= first < last, found {value!r}")
