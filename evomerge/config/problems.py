"""pydantic's errors in our words, with the key and line of the file."""

from __future__ import annotations

import re
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from evomerge.config.errors import MISMATCH, ConfigProblem, did_you_mean, in_words
from evomerge.config.spaces import SpaceConfig
from evomerge.config.yaml_document import Document
from evomerge.schedules import ScheduleConfig

_TYPES = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "string_too_short": "text that is not empty",
    "finite_number": "a finite number",
    "invalid_key": "a key that is text",
}
_SPACES: dict[str, type[BaseModel]] = {
    tag.tag: model for model, tag in map(get_args, get_args(get_args(SpaceConfig)[0]))
}
_SCHEDULES: dict[str, type[BaseModel]] = {
    tag.tag: model for model, tag in map(get_args, get_args(get_args(ScheduleConfig)[0]))
}
# Section with a kind -> its kinds. pydantic counts the kind in an error's place, the file does not.
_KINDS: dict[str, dict[str, type[BaseModel]]] = {
    "space": _SPACES,
    "schedule": _SCHEDULES,
    "then": {kind: model for kind, model in _SCHEDULES.items() if kind != "screen"},
}
_REPLACED: dict[tuple[int | str, ...], tuple[str, str, str]] = {
    ("racing",): (
        "the key schedule",
        "'racing'",
        "races, rungs and rotation are gone: write schedule: halving, or {kind: screen, then: halving} with its screen",
    )
}
_BOUNDS = {
    "greater_than": ("a number above {:g}", "gt"),
    "greater_than_equal": ("a number of at least {:g}", "ge"),
    "less_than": ("a number below {:g}", "lt"),
    "less_than_equal": ("a number of at most {:g}", "le"),
    "too_short": ("at least {} in the list", "min_length"),
}


def problems_of(
    error: ValidationError, model: type[BaseModel], document: Document, at: tuple[str | int, ...] = ()
) -> list[ConfigProblem]:
    """Return one problem per error; a missing key that was only misspelt is told once.

    Args:
        error: what pydantic found.
        model: what the file was read as.
        document: the file.
        at: where in the file the model begins.
    """
    details = [detail for detail in error.errors(include_url=False) if not _is_consequence(detail)]
    told, meant = [], set()
    for detail in details:
        if detail["type"] == "extra_forbidden":
            known = list(_section_at(model, detail["loc"][:-1]).model_fields)
            hint = did_you_mean(detail["loc"][-1], known)
            meant.add((*detail["loc"][:-1], hint.split("'")[1] if hint else ""))
            words = (f"one of {', '.join(known)}", f"'{detail['loc'][-1]}'", hint)
            told.append((detail, _REPLACED.get(detail["loc"], words)))
    for detail in details:
        if detail["type"] == "missing" and detail["loc"] not in meant:
            examples = _section_at(model, detail["loc"][:-1]).model_fields[str(detail["loc"][-1])].examples
            hint = f"for example {detail['loc'][-1]}: {_flow(examples[0])}" if examples else ""
            told.append((detail, ("this key", "nothing", hint)))
        elif detail["type"] not in ("missing", "extra_forbidden"):
            told.append((detail, _told(detail)))
    return [ConfigProblem(*document.locate((*at, *_in_file(detail))), *words) for detail, words in told]


def _is_consequence(detail: ErrorDetails) -> bool:
    """Return whether another error explains this one: pydantic counts only a list's valid items, for example."""
    if detail["type"] == "too_short":
        return bool(len(detail["input"]) >= detail["ctx"]["min_length"])
    return detail["type"] == "default_factory_not_called"


def _in_file(detail: ErrorDetails) -> tuple[str | int, ...]:
    """Return where an error is in the file: pydantic also counts the kind of a section that has several."""
    loc = detail["loc"]
    place = tuple(part for i, part in enumerate(loc) if not (i and part in _KINDS.get(str(loc[i - 1]), ())))
    return (*place, "kind") if detail["type"] == "union_tag_invalid" else place


def _told(detail: ErrorDetails) -> tuple[str, str, str]:
    kind, context, found = detail["type"], detail.get("ctx", {}), in_words(detail["input"])
    if kind == MISMATCH:
        return context["expected"], context["found"], context["hint"]
    if kind == "literal_error":
        known = re.findall(r"'([^']*)'", context["expected"])
        return f"one of {', '.join(known)}", found, did_you_mean(detail["input"], known)
    if kind == "union_tag_invalid":
        kinds = _KINDS[str(detail["loc"][-1])]
        return f"one of {', '.join(kinds)}", in_words(context["tag"]), did_you_mean(context["tag"], kinds)
    if kind in _BOUNDS:
        phrase, name = _BOUNDS[kind]
        return phrase.format(context[name]), found, ""
    return _TYPES.get(kind, detail["msg"]), found, ""


def _section_at(model: type[BaseModel], loc: tuple[str | int, ...]) -> type[BaseModel]:
    models = [model]
    kinds: dict[str, type[BaseModel]] = {}
    for part in loc:
        if isinstance(part, str) and len(models) > 1 and part in kinds:
            models = [kinds[part]]
        elif isinstance(part, str):
            models, kinds = list(_models_in(models[0].model_fields[part].annotation)), _KINDS.get(part, {})
    return models[0]


def _models_in(annotation: Any) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)


def _flow(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k}: {_flow(v)}" for k, v in value.items()) + "}"
    return f"[{', '.join(map(_flow, value))}]" if isinstance(value, list) else str(value)
