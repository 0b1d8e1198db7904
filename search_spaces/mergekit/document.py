"""The structure of a mergekit configuration: checked plain data, parents found, nothing interpreted yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from search_spaces.errors import SpaceError
from search_spaces.mergekit.parameters import Setting
from search_spaces.operators.registry import OPERATORS, Operator, nearest_name
from search_spaces.recipe import ParentSource

KEYS = ("merge_method", "base_model", "models", "slices", "parameters", "dtype", "out_dtype", "tokenizer_source")
# Accepted, and rightly ignored: how mergekit stores masks, and what its task arithmetic declares but never uses.
WITHOUT_EFFECT: Mapping[str, set[str]] = {"task_arithmetic": {"density", "rescale"}}
INT8_MASK = "int8_mask"


@dataclass(frozen=True)
class Source:
    """One entry of `models`, or one source of a slice.

    Attributes:
        key: where it stands in the file.
        parent: its name among the document's parents.
        parameters: its own settings.
        first_layer: where its layers start.
    """

    key: str
    parent: str
    parameters: Mapping[str, Setting]
    first_layer: int = 0


@dataclass(frozen=True)
class Slice:
    """A run of output layers; a file with `models` is one slice over the whole depth.

    Attributes:
        sources: what is merged; the base is among them.
        base: its own base_model, else the file's; None if neither is given.
        n_layers: how many; None for the parents' whole depth.
    """

    key: str
    sources: tuple[Source, ...]
    base: str | None
    n_layers: int | None
    parameters: Mapping[str, Setting]


@dataclass(frozen=True)
class Document:
    """A whole configuration.

    Attributes:
        parents: name -> source, in order of appearance; names are the last parts of paths, made unique.
        donor: the parent that gives config and tokenizer: base_model, else the first one.
        dtype: out_dtype, else dtype; None if neither is given.
    """

    operator: Operator
    parents: Mapping[str, ParentSource]
    donor: str
    slices: tuple[Slice, ...]
    parameters: Mapping[str, Setting]
    dtype: str | None


def read_document(data: object, directory: Path) -> Document:
    """Return what a configuration says.

    Args:
        data: the YAML's plain data.
        directory: where the file lies; paths are looked up there first.

    Raises:
        SpaceError: a key that is unknown, missing, contradictory or cannot be honoured; the message names it.
    """
    top = _mapping(data, "the file", KEYS)
    operator = _operator(top.get("merge_method"))
    if bool(top.get("models")) == bool(top.get("slices")):
        raise SpaceError("models, slices: expected exactly one of the two keys")
    found = _Parents(directory)
    base = found.name(top["base_model"], "base_model") if top.get("base_model") else None
    if top.get("slices"):
        slices = [
            _slice(s, f"slices[{i}]", operator, found, base) for i, s in enumerate(_list(top["slices"], "slices"))
        ]
    else:
        slices = [_whole_depth(top["models"], operator, found, base)]
    donor = base or slices[0].sources[0].parent
    _check_tokenizer(top.get("tokenizer_source"), found, donor)
    dtype = top.get("out_dtype") or top.get("dtype")
    return Document(
        operator,
        found.sources,
        donor,
        tuple(slices),
        _parameters(top, "", operator),
        None if dtype is None else str(dtype),
    )


def _operator(method: object) -> Operator:
    if not isinstance(method, str) or method not in OPERATORS:
        raise SpaceError(
            f"merge_method: expected one of {list(OPERATORS)}, found {method!r}{nearest_name(str(method), OPERATORS)}"
        )
    return OPERATORS[method]


class _Parents:
    """Collects the parents that a file mentions, under unique names."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.sources: dict[str, ParentSource] = {}

    def name(self, reference: object, key: str) -> str:
        source = self._source(reference, key)
        for name, known in self.sources.items():
            if known == source:
                return name
        stem = name = Path(source.model).name or source.model
        number = 2
        while name in self.sources:
            name, number = f"{stem}-{number}", number + 1
        self.sources[name] = source
        return name

    def _source(self, reference: object, key: str) -> ParentSource:
        if isinstance(reference, Mapping):
            reference = _mapping(reference, key, ("model",)).get("model")
        if isinstance(reference, Mapping):
            parts = _mapping(reference, key, ("path", "revision"))
            return replace(self._source(parts.get("path"), key), revision=parts.get("revision"))
        if not isinstance(reference, str) or not reference:
            raise SpaceError(f"{key}: expected a path or hub id, found {reference!r}")
        for place in (self._directory, Path()):
            if (place / Path(reference).expanduser()).exists():
                return ParentSource(str(place / Path(reference).expanduser()))
        if "+" in reference:
            raise SpaceError(
                f"{key}: expected a full model, found {reference!r} with an adapter: merge the adapter into its base "
                "first (peft's merge_and_unload), and name the result"
            )
        model, _, revision = reference.partition("@")
        return ParentSource(model, revision or None)


def _whole_depth(models: object, operator: Operator, found: _Parents, base: str | None) -> Slice:
    sources = []
    for i, entry in enumerate(_list(models, "models")):
        key = f"models[{i}]"
        model = _mapping(entry, key, ("model", "parameters"))
        parent = found.name(model.get("model"), f"{key}.model")
        sources.append(Source(key, parent, _parameters(model, f"{key}.", operator, of_parent=True)))
    if base is not None and base not in {source.parent for source in sources}:
        sources.append(Source("base_model", base, {}))  # mergekit's rule: the base takes part, listed or not
    return Slice("models", tuple(sources), base, None, {})


def _slice(entry: object, key: str, operator: Operator, found: _Parents, base: str | None) -> Slice:
    data = _mapping(entry, key, ("sources", "base_model", "parameters"))
    sources, lengths = [], set()
    for i, item in enumerate(_list(data.get("sources"), f"{key}.sources")):
        own = f"{key}.sources[{i}]"
        source = _mapping(item, own, ("model", "layer_range", "parameters"))
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
    settings = _mapping(data.get("parameters") or {}, f"{prefix}parameters", (*known, *ignored))
    return {name: setting for name, setting in settings.items() if name not in ignored}


def _check_tokenizer(wanted: object, found: _Parents, donor: str) -> None:
    if wanted in (None, "base"):
        return
    if wanted == "union" or found.name(wanted, "tokenizer_source") != donor:
        raise SpaceError(
            f"tokenizer_source: expected base or nothing, found {wanted!r}: parents share one vocabulary here, and the "
            f"tokenizer is that of {donor!r}"
        )


def _layer_range(value: object, key: str) -> tuple[int, int]:
    match value:
        case [int(first), int(last)] if 0 <= first < last:
            return first, last
    raise SpaceError(f"{key}: expected [first, last) with 0 <= first < last, found {value!r}")


def _mapping(value: object, key: str, known: tuple[str, ...]) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise SpaceError(f"{key}: expected keys and values, found {value!r}")
    for name in value:
        if name not in known:
            raise SpaceError(
                f"{key}: expected keys among {sorted(known)}, found {name!r}{nearest_name(str(name), known)}"
            )
    return value


def _list(value: object, key: str) -> list[object]:
    if not isinstance(value, list) or not value:
        raise SpaceError(f"{key}: expected a list of at least one, found {value!r}")
    return value
