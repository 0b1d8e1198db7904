"""What is wrong with a section, in our words: what was expected and found, and what to do."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError

from evomerge.errors import did_you_mean, few_of, shortened

__all__ = ["MISMATCH", "did_you_mean", "in_our_words", "in_words", "mismatch", "refuse", "told"]

MISMATCH = "campaign_mismatch"
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
_BOUNDS = {
    "greater_than": ("a number above {}", "gt"),
    "greater_than_equal": ("a number of at least {}", "ge"),
    "less_than": ("a number below {}", "lt"),
    "less_than_equal": ("a number of at most {}", "le"),
    "too_short": ("at least {} in the list", "min_length"),
}
_MAX_BITS = 128  # of a whole number that is written out


def mismatch(expected: str, found: str, hint: str = "", *, at: Sequence[str | int] = ()) -> InitErrorDetails:
    """Return a problem for `refuse`; `at` is the way from the validated value down to the one to blame."""
    context = {"expected": expected, "found": found, "hint": hint}
    error = PydanticCustomError(MISMATCH, "expected {expected}, found {found}", context)
    return InitErrorDetails(type=error, loc=tuple(at), input=None)


def refuse(problems: Sequence[InitErrorDetails]) -> NoReturn:
    """Raise all problems of one validator together.

    pydantic adds the line errors of a `ValidationError` raised inside a validator to those of the whole model.
    """
    raise ValidationError.from_exception_data("campaign", list(problems))


def in_words(value: object) -> str:
    """Return a found value as its author would call it."""
    match value:
        case None:
            return "nothing"
        case bool():
            return str(value).lower()
        case dict():
            return f"keys {', '.join(map(str, value))}" if value else "an empty mapping"
        case list() | tuple():
            return f"[{', '.join(in_words(v) if isinstance(v, (int, float, str)) else '...' for v in value)}]"
        case _:
            return _in_few_words(value)


def _in_few_words(value: object) -> str:
    if isinstance(value, int) and value.bit_length() > _MAX_BITS:
        return f"a number of about {round(value.bit_length() * 0.30103)} digits"
    return shortened(repr(value))


Told = tuple[tuple[str | int, ...], tuple[str, str, str]]


def in_our_words(
    error: ValidationError, model: type[BaseModel], *, under: Sequence[str] = ()
) -> list[InitErrorDetails]:
    """Return one problem for `refuse` per error that pydantic found; `under` is the way from what is refused."""
    return [mismatch(*words, at=[*under, *way]) for way, words in told(error, model)]


def told(error: ValidationError, model: type[BaseModel]) -> list[Told]:
    """Return the way to each error, and (expected, found, hint); a missing key that was only misspelt is told once."""
    details = [detail for detail in error.errors(include_url=False) if not _is_consequence(detail)]
    problems: list[Told] = []
    meant = set()
    for detail in details:
        if detail["type"] == "extra_forbidden":
            *way, key = detail["loc"]
            known = list(_section_at(model, way).model_fields)
            hint = did_you_mean(key, known)
            meant.add((*way, hint.split("'")[1] if hint else ""))
            problems.append((detail["loc"], (f"one of {few_of(known, key)}", f"'{key}'", hint)))
    for detail in details:
        if detail["type"] == "missing" and detail["loc"] not in meant:
            *way, key = detail["loc"]
            examples = _section_at(model, way).model_fields[str(key)].examples
            hint = f"for example {key}: {_flow(examples[0])}" if examples else ""
            problems.append((detail["loc"], ("this key", "nothing", hint)))
        elif detail["type"] not in ("missing", "extra_forbidden"):
            problems.append((detail["loc"], _words(detail)))
    return problems


def _is_consequence(detail: ErrorDetails) -> bool:
    """Return whether another error explains this one: pydantic counts only a list's valid items, for example."""
    if detail["type"] == "too_short":
        return bool(len(detail["input"]) >= detail["ctx"]["min_length"])
    return detail["type"] == "default_factory_not_called"


def _words(detail: ErrorDetails) -> tuple[str, str, str]:
    kind, context, found = detail["type"], detail.get("ctx", {}), in_words(detail["input"])
    if kind == MISMATCH:
        return context["expected"], context["found"], context["hint"]
    if kind == "literal_error":
        known = re.findall(r"'([^']*)'|(\d+)", context["expected"])
        names = [text or number for text, number in known]
        return f"one of {few_of(names, detail['input'])}", found, did_you_mean(detail["input"], names)
    if kind in _BOUNDS:
        phrase, name = _BOUNDS[kind]
        bound = context[name]
        return phrase.format(f"{bound:,.0f}" if bound == int(bound) else f"{bound:g}"), found, ""
    return _TYPES.get(kind, detail["msg"]), found, ""


def _section_at(model: type[BaseModel], way: Sequence[str | int]) -> type[BaseModel]:
    for part in way:
        if isinstance(part, str) and part in model.model_fields:
            model = next(_models_in(model.model_fields[part].annotation), model)
    return model


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)


def _flow(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k}: {_flow(v)}" for k, v in value.items()) + "}"
    return f"[{', '.join(map(_flow, value))}]" if isinstance(value, list) else str(value)
