"""The structure of a mergekit configuration: checked plain data, parents found, nothing interpreted yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from search_spaces.errors import SpaceError, few_of
from search_spaces.mergekit.models import FoundParents
from search_spaces.mergekit.other_files import refuse_other_files
from search_spaces.mergekit.parameters import Setting, numbers_in, read_setting
from search_spaces.mergekit.permissions import PERMISSIONS, read_permissions
from search_spaces.mergekit.remarks import OTHER_PLACES, TOP, Remarks, keys_and_values, sequence
from search_spaces.mergekit.requested import KEY, RequestedStatistics, read_requested
from search_spaces.mergekit.tokenizer import read_tokenizer
from search_spaces.operators.registry import OPERATORS, Operator, nearest_name
from search_spaces.recipes.permissions import NOTHING_ALLOWED, Permissions
from search_spaces.recipes.recipe import OutputTokenizer, ParentSource

KEYS = (
    "merge_method",
    "base_model",
    "models",
    "slices",
    "modules",
    "parameters",
    "dtype",
    "out_dtype",
    "tokenizer_source",
    "tokenizer",
    "chat_template",
    KEY,  # ours: mergekit's methods read no more than weights
    *PERMISSIONS,  # ours: what mergekit's command line says
)
DENSITY = "density"
_MOST_LAYERS = 100_000  # no model is so deep: a slip, which would be laid out layer by layer
INT8_MASK = "int8_mask"  # how mergekit stores masks: accepted everywhere, without effect or remark


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
    # (where they stand, settings), its own before its module's
    levels: tuple[tuple[str, Mapping[str, Setting]], ...] = ()


@dataclass(frozen=True)
class Document:
    """A whole configuration."""

    operator: Operator
    # name -> source, in order of appearance; names are the last parts of paths, made unique
    parents: Mapping[str, ParentSource]
    donor: str  # the parent that gives config and tokenizer: base_model, else the first one
    modules: Mapping[str | None, tuple[Slice, ...]]  # name in mergekit -> its slices; None: the whole model
    parameters: Mapping[str, Setting]
    dtype: str | None  # out_dtype, else dtype; None if neither is given
    tokenizer: OutputTokenizer  # the output's
    requested: RequestedStatistics | None = None  # what parents are to read; None where the file does not say
    permissions: Permissions = NOTHING_ALLOWED  # what the file lets through


def read_document(
    data: object, directory: Path, remarks: Remarks, made: Mapping[str, Path] = MappingProxyType({})
) -> Document:
    """Return what a YAML's plain data say, and remark on what has no effect.

    Models are names of merges that were `made` before, else paths in the directory, other paths, or hub ids.
    """
    refuse_other_files(keys_and_values(data, TOP))
    top = remarks.mapping(data, TOP, KEYS)
    operator = _operator(top.get("merge_method"))
    if sum(bool(top.get(key)) for key in ("models", "slices", "modules")) != 1:
        raise SpaceError("models, slices, modules: expected exactly one of the three keys")
    found = FoundParents(directory, remarks, made)
    reading = _Reading(operator, found, remarks)
    base = found.name(top["base_model"], "base_model") if top.get("base_model") else None
    modules: Mapping[str | None, tuple[Slice, ...]]
    modules = reading.modules(top["modules"], base) if top.get("modules") else {None: reading.slices(top, "", base)}
    donor = base or next(iter(modules.values()))[0].sources[0].parent
    dtype = top.get("out_dtype") or top.get("dtype")
    return Document(
        operator,
        found.sources,
        donor,
        modules,
        reading.parameters(top, ""),
        None if dtype is None else str(dtype).removeprefix("torch."),
        read_tokenizer(top, found.name, remarks),
        None if top.get(KEY) is None else read_requested(top[KEY], found, directory),
        read_permissions(top),
    )


def _operator(method: object) -> Operator:
    if not isinstance(method, str) or method not in OPERATORS:
        known = few_of(OPERATORS, method)
        raise SpaceError(
            f"merge_method: expected one of {known}, found {method!r}{nearest_name(str(method), OPERATORS)}"
        )
    return OPERATORS[method]


@dataclass(frozen=True)
class _Reading:
    """What all parts of one file are read with."""

    operator: Operator
    found: FoundParents
    remarks: Remarks

    def modules(self, value: object, base: str | None) -> dict[str | None, tuple[Slice, ...]]:
        modules: dict[str | None, tuple[Slice, ...]] = {}
        for name, entry in keys_and_values(value, "modules").items():
            key = f"modules.{name}"
            data = self.remarks.mapping(entry, key, ("models", "slices", "parameters"))
            if bool(data.get("models")) == bool(data.get("slices")):
                raise SpaceError(f"{key}: expected exactly one of models and slices")
            around = (f"{key}.parameters", self.parameters(data, f"{key}."))
            slices = self.slices(data, f"{key}.", base)
            modules[str(name)] = tuple(replace(part, levels=(*part.levels, around)) for part in slices)
        return modules

    def slices(self, data: Mapping[str, Any], prefix: str, base: str | None) -> tuple[Slice, ...]:
        """Return what stands under `models` or `slices`, one of which there is."""
        if not data.get("slices"):
            return (self._whole_depth(data["models"], f"{prefix}models", base),)
        key = f"{prefix}slices"
        return tuple(
            self._slice(entry, f"{key}[{i}]", base, empty=bool(prefix))
            for i, entry in enumerate(sequence(data["slices"], key))
        )

    def _whole_depth(self, models: object, prefix: str, base: str | None) -> Slice:
        sources = []
        for i, entry in enumerate(sequence(models, prefix)):
            key = f"{prefix}[{i}]"
            model, parent = self._model(entry, key)
            sources.append(Source(key, parent, self.parameters(model, f"{key}.", of_parent=True)))
        # mergekit's rule: the base takes part, listed or not. Methods that it does not have average what is listed.
        only_listed = bool(self.operator.statistics) and not self.operator.needs_base
        if base is not None and not only_listed and base not in {source.parent for source in sources}:
            sources.append(Source("base_model", base, {}))
        return Slice(prefix, tuple(sources), base, None)

    def _slice(self, entry: object, key: str, base: str | None, *, empty: bool) -> Slice:
        """Return a slice; what has no layers, such as a projector, may be `empty`."""
        data = self.remarks.mapping(entry, key, ("sources", "base_model", "parameters"))
        sources, lengths = [], set()
        for i, item in enumerate(sequence(data.get("sources"), f"{key}.sources")):
            own = f"{key}.sources[{i}]"
            source, parent = self._model(item, own, "layer_range")
            first, last = _layer_range(source.get("layer_range"), f"{own}.layer_range", empty=empty)
            lengths.add(last - first)
            sources.append(Source(own, parent, self.parameters(source, f"{own}.", of_parent=True), first))
        if len(lengths) > 1:
            raise SpaceError(f"{key}.sources: expected as many layers from each, found {sorted(lengths)}")
        if len({source.parent for source in sources}) < len(sources):
            raise SpaceError(f"{key}.sources: expected each model once, found one twice")
        if data.get("base_model"):
            base = self.found.name(data["base_model"], f"{key}.base_model")
        levels = ((f"{key}.parameters", self.parameters(data, f"{key}.")),)
        return Slice(key, tuple(sources), base, lengths.pop(), levels)

    def _model(self, entry: object, key: str, *further: str) -> tuple[Mapping[str, Any], str]:
        """Return an entry's known keys, and its parent."""
        data = self.remarks.mapping(entry, key, ("model", "revision", "parameters", *further))
        return data, self.found.name(data.get("model"), f"{key}.model", revision=data.get("revision"))

    def parameters(self, data: Mapping[str, Any], prefix: str, *, of_parent: bool = False) -> Mapping[str, Setting]:
        """Return the settings that the method uses."""
        operator, key = self.operator, f"{prefix}parameters"
        known = {**operator.input_parameters, **({} if of_parent else operator.parameters)}
        given = {name: value for name, value in keys_and_values(data.get("parameters") or {}, key).items()}
        given.pop(INT8_MASK, None)
        belongs = dict.fromkeys(
            operator.parameters, "it counts for all models: it belongs under the file's `parameters`"
        )
        elsewhere = {**OTHER_PLACES, **belongs} if of_parent else OTHER_PLACES
        settings = {}
        for name, value in self.remarks.mapping(given, key, known, method=operator.name, elsewhere=elsewhere).items():
            settings[name] = read_setting(value, f"{key}.{name}", self.remarks)
            if name == DENSITY and any(number > 1.0 for number in numbers_in(settings[name])):
                self.remarks.add(name, "what is above 1 counts as 1, as in mergekit", key)
            if operator.in_mergekit and not known[name].in_mergekit and settings[name] != known[name].default:
                self.remarks.add(name, f"used, but mergekit's {operator.name} has no such parameter", key)
        return settings


def _layer_range(value: object, key: str, *, empty: bool) -> tuple[int, int]:
    ends = value if isinstance(value, list) else []
    match [int(end) if isinstance(end, str) and end.strip().isdecimal() else end for end in ends]:
        case [int(first), int(last)] if 0 <= first < last <= _MOST_LAYERS or (empty and first == last == 0):
            return first, last
    raise SpaceError(f"{key}: expected [first, last) with 0 <= first < last, found {value!r}")
