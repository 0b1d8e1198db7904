"""Task files: one JSON object a line, the kind of item detected from its keys."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from fitness.errors import FitnessError, did_you_mean
from fitness.tasks.items import ExactMatch, Item, MultipleChoice, Task, Text

_MAX_ERRORS = 20
_KINDS = "`question`, `choices`, `gold` (multiple choice); `prompt`, `answer` (exact match); or `text` (perplexity)"
_KEYS = ("question", "choices", "gold", "prompt", "answer", "text")

Fields = dict[str, Any]


class _LineError(ValueError):
    """What is wrong with one line."""


def load_jsonl(path: str | Path, name: str | None = None) -> Task:
    """Read a task file: UTF-8, one JSON object a line, empty lines ignored, all items of one kind.

    `{"question": ..., "choices": [...], "gold": 2}` is multiple choice (`answer`, the choice's text or index, may
    stand for `gold`; `delimiter` may replace the space between question and choice); `{"prompt": ..., "answer": ...}`
    is exact match; `{"text": ...}` is perplexity. An `id` is optional: the line's number by default. The task is called
    as the file, without its ending, unless it has a name.
    """
    path = Path(path)
    items, errors = _read(path)
    if errors:
        shown = [f"{path}:{line}: {message}" for line, message in errors[:_MAX_ERRORS]]
        more = [f"... and {len(errors) - _MAX_ERRORS} more"] if len(errors) > _MAX_ERRORS else []
        raise FitnessError("\n".join(shown + more))
    if not items:
        raise FitnessError(f"{path}: expected at least one item, found none; each line holds {_KINDS}")
    _check_answers_differ(path, items)
    return Task(name or path.stem, tuple(items))


def _read(path: Path) -> tuple[list[Item], list[tuple[int, str]]]:
    items: list[Item] = []
    errors: list[tuple[int, str]] = []
    line_of: dict[str, int] = {}
    for number, text in lines_of(path):
        try:
            item = _item(number, text)
            if items and type(item) is not type(items[0]):
                raise _LineError(
                    f"expected the kind of the first item ({_describe(items[0])}), found {_describe(item)}; "
                    "put each kind in a file of its own"
                )
            if item.id in line_of:
                raise _LineError(f"expected unique ids, found id {item.id!r} on line {line_of[item.id]} already")
        except _LineError as error:
            errors.append((number, str(error)))
        else:
            line_of[item.id] = number
            items.append(item)
    return items, errors


def lines_of(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield (number, line) of a file, from 1, without empty lines and a byte order mark."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise FitnessError(f"{path}: expected a readable task file, found: {error.strerror or error}") from error
    for number, text in enumerate(content.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        if text.strip():
            yield number, text


def _item(number: int, text: bytes) -> Item:
    try:
        fields = json.loads(text.decode())
    except UnicodeDecodeError as error:
        raise _LineError(f"expected UTF-8, found byte {text[error.start]:#04x} at column {error.start + 1}") from error
    except json.JSONDecodeError as error:
        raise _LineError(
            f"expected a JSON object on one line, found broken JSON: {error.msg}, column {error.colno}"
        ) from error
    except RecursionError as error:
        raise _LineError("expected a JSON object, found one nested too deeply") from error
    if not isinstance(fields, dict):
        raise _LineError(f"expected a JSON object, found {_found(fields)}")
    return _maker(fields)(fields, _id(fields, number))


def _maker(fields: Fields) -> Callable[[Fields, str], Item]:
    if "question" in fields or "choices" in fields:
        return _multiple_choice
    if "prompt" in fields:
        return _exact_match
    if "text" in fields:
        return lambda fields, item_id: Text(item_id, _string(fields, "text"))
    near = [f"{key!r} ({hint})" for key in fields if (hint := did_you_mean(key, _KEYS))]
    found = ", ".join(near or map(repr, fields)) or "no keys"
    raise _LineError(f"expected the keys {_KINDS}; found {found}")


def _multiple_choice(fields: Fields, item_id: str) -> MultipleChoice:
    question = _string(fields, "question", empty=True)
    choices = fields.get("choices")
    if not isinstance(choices, list):
        raise _LineError(f"choices: expected a list of strings, {_missing_or(fields, 'choices')}")
    if len(choices) < 2:
        raise _LineError(f"choices: expected at least two, found {len(choices)}")
    texts = tuple(_text_of(choice, f"choices[{i}]") for i, choice in enumerate(choices))
    delimiter = _string(fields, "delimiter", empty=True) if "delimiter" in fields else None
    return MultipleChoice(item_id, question, texts, _gold(fields, texts), delimiter)


def _gold(fields: Fields, choices: Sequence[str]) -> int:
    key = "gold" if "gold" in fields else "answer"
    gold = fields.get(key)
    if isinstance(gold, int) and not isinstance(gold, bool):
        if 0 <= gold < len(choices):
            return gold
        raise _LineError(f"{key}: expected an index from 0 to {len(choices) - 1}, found {gold}")
    if key == "answer" and isinstance(gold, str):
        if choices.count(gold) == 1:
            return choices.index(gold)
        raise _LineError(
            f"answer: expected the text of exactly one choice, found {gold!r}, {choices.count(gold)} times"
        )
    missing = "gold" if gold is None else key
    raise _LineError(f"{missing}: expected the index of the right choice, {_missing_or(fields, key)}")


def _exact_match(fields: Fields, item_id: str) -> ExactMatch:
    answer = _string(fields, "answer")
    if not answer.strip() or "\n" in answer.strip():
        raise _LineError(f"answer: expected one line of text, found {answer!r}")
    return ExactMatch(item_id, _string(fields, "prompt"), answer)


def _id(fields: Fields, line_number: int) -> str:
    value = fields.get("id", line_number)
    if isinstance(value, bool) or not isinstance(value, str | int) or not str(value).strip() or "\n" in str(value):
        raise _LineError(f"id: expected a string (one line) or a whole number, found {_found(value)}")
    return str(value)


def _string(fields: Fields, key: str, *, empty: bool = False) -> str:
    if key not in fields:
        near = difflib.get_close_matches(key, [k for k in fields if k not in _KEYS], 1)
        raise _LineError(f"{key}: expected a string, found no such key" + (f", but {near[0]!r}" if near else ""))
    return _text_of(fields[key], key, empty=empty)


def _text_of(value: object, key: str, *, empty: bool = False) -> str:
    if not isinstance(value, str):
        raise _LineError(f"{key}: expected a string, found {_found(value)}")
    if not value and not empty:
        raise _LineError(f"{key}: expected a string, found an empty one")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise _LineError(
            f"{key}: expected Unicode text, found half a surrogate pair at character {error.start}"
        ) from error
    return value


def _missing_or(fields: Fields, key: str) -> str:
    return f"found {_found(fields[key])}" if key in fields else "found no such key"


def _found(value: object) -> str:
    return f"{type(value).__name__} {json.dumps(value)[:60]}"


def _describe(item: Item) -> str:
    return {MultipleChoice: "multiple choice", ExactMatch: "exact match", Text: "perplexity of text"}[type(item)]


def _check_answers_differ(path: Path, items: Sequence[Item]) -> None:
    answers = {_answer(item) for item in items}
    if len(items) > 1 and len(answers) == 1:
        raise FitnessError(
            f"{path}: expected answers that differ between items, found {answers.pop()!r} for all {len(items)}: "
            "a model that always says so would be perfect"
        )


def _answer(item: Item) -> tuple[object, ...]:
    match item:
        case MultipleChoice():
            return item.gold, item.choices[item.gold]
        case ExactMatch():
            return (item.answer.strip(),)
        case Text():
            return (item.text,)
