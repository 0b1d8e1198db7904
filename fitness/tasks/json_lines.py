"""JSON objects that people write, one a line: what JSON leaves open is refused, with the line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from evomerge.content import RepeatedKeyError, content_of, each_key_once
from fitness.errors import FitnessError, shortened

MAX_DEPTH = 64  # brackets inside each other
MAX_DIGITS = 100  # of a number
_SHOWN = 60  # characters of a value that a message quotes

Fields = dict[str, Any]


class LineError(FitnessError):
    """What is wrong with one line."""


def lines_of(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield (number, line) of a file, from 1, without empty lines and a byte order mark."""
    try:
        content = content_of(path)
    except (OSError, ValueError) as error:  # ValueError: a path that no file can have
        reason = getattr(error, "strerror", None) or error
        raise FitnessError(f"{shortened(str(path))}: expected a readable task file, found: {reason}") from error
    for number, text in enumerate(content.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        if text.strip():
            yield number, text


def object_in(line: bytes) -> Fields:
    """Return the JSON object of a line; LineError where there is none, or one that can be read in several ways."""
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        raise LineError(f"expected UTF-8, found byte {line[error.start]:#04x} at column {error.start + 1}") from error
    if _depth(text) > MAX_DEPTH:
        raise LineError(f"expected a JSON object, found one nested too deeply (more than {MAX_DEPTH} levels)")
    try:
        fields = json.loads(
            text, object_pairs_hook=each_key_once, parse_int=_whole, parse_float=_number, parse_constant=_constant
        )
    except json.JSONDecodeError as error:
        raise LineError(
            f"expected a JSON object on one line, found broken JSON: {error.msg}, column {error.colno}"
        ) from error
    except RepeatedKeyError as error:
        raise LineError(str(error)) from error
    if not isinstance(fields, dict):
        raise LineError(f"expected a JSON object, found {found(fields)}")
    return fields


def text_of(value: object, key: str, *, empty: bool = False) -> str:
    """Return a value that must be text."""
    if not isinstance(value, str):
        raise LineError(f"{key}: expected a string, found {found(value)}")
    if not value and not empty:
        raise LineError(f"{key}: expected a string, found an empty one")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise LineError(
            f"{key}: expected Unicode text, found half a surrogate pair at character {error.start}"
        ) from error
    return value


def found(value: object) -> str:
    """Return a value as a message quotes it: its type and its beginning."""
    return f"{type(value).__name__} {quoted(json.dumps(value))}"


def quoted(text: str) -> str:
    """Return a text as a message quotes it."""
    return shortened(text, _SHOWN)


def _depth(text: str) -> int:
    """Return at most how deeply brackets are nested; those in strings count, which a closing one makes up for."""
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return 0
    depth = deepest = 0
    in_text = escaped = False
    for character in text:
        if in_text:
            in_text = escaped or character != '"'
            escaped = not escaped and character == "\\"
        elif character == '"':
            in_text = True
        elif character in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif character in "]}":
            depth -= 1
    return deepest


def _whole(text: str) -> int:
    _check_length(text)
    return int(text)


def _number(text: str) -> float:
    _check_length(text)
    return float(text)


def _check_length(text: str) -> None:
    if len(text) > MAX_DIGITS:
        raise LineError(f"expected numbers of at most {MAX_DIGITS} digits, found one of {len(text)}")


def _constant(text: str) -> float:
    raise LineError(f"expected finite numbers, found {text}, which is no JSON")
