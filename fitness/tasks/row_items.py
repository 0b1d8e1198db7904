"""From one row of a task file to its item; the kind of item is told by the row's keys."""

from __future__ import annotations

import difflib
import string
from collections.abc import Callable, Sequence
from typing import Any

from fitness.errors import FitnessError, did_you_mean
from fitness.tasks.asking import PER_ROW, lettered
from fitness.tasks.framing import Turn
from fitness.tasks.items import Item, MultipleChoice, Text
from fitness.tasks.json_lines import Fields, LineError, found, quoted, text_of
from fitness.tasks.languages import check_language
from fitness.tasks.matching import MATCHES, STEPS, check_pattern, number_in
from fitness.tasks.written_answer import Judging, WrittenAnswer

KINDS = "`question`, `choices`, `gold` (multiple choice); `prompt`, `answer` (exact match); or `text` (perplexity)"
_MAIN = ("question", "choices", "gold", "prompt", "answer", "text")
KEYS = (*_MAIN, "answers", "messages", "delimiter", *PER_ROW)
_ROLES = ("system", "user", "assistant")
_MOST_TOKENS = 32_768


def item_of(fields: Fields) -> Item:
    """Return a row's item, without an id; LineError where it is none."""
    by_letter = fields.get("match") == "choice"
    if ("question" in fields or "choices" in fields) and not by_letter:
        return _multiple_choice(fields)
    if by_letter or {"prompt", "messages"} & set(fields):
        return _written_answer(fields)
    if "text" in fields:
        return Text("", string_at(fields, "text"))
    near = [f"{key!r} ({hint})" for key in fields if (hint := did_you_mean(key, _MAIN))]
    listed = ", ".join(near or map(repr, fields)) or "no keys"
    raise LineError(f"expected the keys {KINDS}; found {listed}")


def string_at(fields: Fields, key: str, *, empty: bool = False) -> str:
    """Return the text of a key."""
    if key not in fields:
        near = difflib.get_close_matches(key, [k for k in fields if k not in _MAIN], 1)
        raise LineError(f"{key}: expected a string, found no such key" + (f", but {near[0]!r}" if near else ""))
    return text_of(fields[key], key, empty=empty)


def _multiple_choice(fields: Fields) -> MultipleChoice:
    turns = _turns(fields) if "question" not in fields else None
    question = "" if turns else string_at(fields, "question", empty=True)
    texts = _choices(fields)
    delimiter = string_at(fields, "delimiter", empty=True) if "delimiter" in fields else None
    system = string_at(fields, "system") if "system" in fields else None
    return MultipleChoice("", question, texts, _gold(fields, texts), delimiter, system, turns)


def _choices(fields: Fields) -> tuple[str, ...]:
    choices = fields.get("choices")
    if not isinstance(choices, list):
        raise LineError(f"choices: expected a list of strings, {_missing_or(fields, 'choices')}")
    if len(choices) < 2:
        raise LineError(f"choices: expected at least two, found {len(choices)}")
    return tuple(text_of(choice, f"choices[{i}]") for i, choice in enumerate(choices))


def _gold(fields: Fields, choices: Sequence[str]) -> int:
    key = "gold" if "gold" in fields else "answer"
    gold = _index(fields.get(key), choices)
    if isinstance(gold, int) and not isinstance(gold, bool):
        if not 0 <= gold < len(choices):
            raise LineError(f"{key}: expected an index from 0 to {len(choices) - 1}, found {gold}")
        if key == "gold":
            _check_agrees(gold, fields.get("answer"), choices)
        return gold
    if key == "answer" and isinstance(gold, str):
        if choices.count(gold) == 1:
            return choices.index(gold)
        times = f"{choices.count(gold)} times"
        raise LineError(f"answer: expected the text of exactly one choice, found {quoted(repr(gold))}, {times}")
    missing = "gold" if gold is None else key
    raise LineError(f"{missing}: expected the index of the right choice, {_missing_or(fields, key)}")


def _index(gold: object, choices: Sequence[str]) -> object:
    """Return the index that a table's text is, or the one of a letter, where no choice says so itself."""
    text = gold.strip() if isinstance(gold, str) else ""
    if not text or text in [choice.strip() for choice in choices]:
        return gold
    if text.isdecimal():
        return int(text)
    letters = string.ascii_uppercase[: len(choices)]
    return letters.index(text) if len(text) == 1 and text in letters else gold


def _check_agrees(gold: int, answer: object, choices: Sequence[str]) -> None:
    """Refuse an `answer` beside `gold` that names another choice by its text, index or letter; others are free."""
    named = {i for i, choice in enumerate(choices) if choice.strip() == str(answer).strip()}
    if not named and isinstance(answer, str) and len(answer.strip()) == 1:
        named = {ord(answer.strip().upper()) - ord("A")} & set(range(len(choices)))
    if isinstance(answer, int) and not isinstance(answer, bool):
        named.add(answer)
    if named and gold not in named:
        right = quoted(repr(choices[gold]))
        raise LineError(f"answer: expected what gold {gold} says, {right}, found {found(answer)}: leave one out")


def _written_answer(fields: Fields) -> WrittenAnswer:
    judging = _judging(fields)
    choices = _choices(fields) if judging.match == "choice" and "choices" in fields else None
    answers = _letters(fields, choices) if choices else _answers(fields)
    for answer in answers:
        _check_answer(answer, judging)
    turns = _turns(fields) if "prompt" not in fields and not choices else None
    return WrittenAnswer(
        "",
        "" if turns else _prompt(fields, choices),
        answers[0],
        tuple(answers[1:]) or None,
        None if judging == Judging() else judging,
        choices,
        string_at(fields, "system") if "system" in fields else None,
        turns,
    )


def _prompt(fields: Fields, choices: Sequence[str] | None) -> str:
    if "prompt" in fields or choices is None:
        return string_at(fields, "prompt")
    return f"{string_at(fields, 'question')}\n{lettered(choices)}\nAnswer:"


def _letters(fields: Fields, choices: Sequence[str]) -> list[str]:
    return [string.ascii_uppercase[_gold(fields, choices)]]


def _answers(fields: Fields) -> list[str]:
    if "answers" in fields:
        answers = fields["answers"]
        if not isinstance(answers, list) or not answers:
            raise LineError(f"answers: expected a list of strings, found {found(answers)}")
        texts = [text_of(answer, f"answers[{i}]") for i, answer in enumerate(answers)]
        first = fields.get("answer", texts[0])
        if first not in texts:
            raise LineError(f"answer: expected one of answers, found {found(first)}: leave one of both keys out")
        return texts
    answer = fields.get("answer")
    number = (int, float) if fields.get("match") == "number" else int
    text = str(answer) if isinstance(answer, number) and not isinstance(answer, bool) else string_at(fields, "answer")
    gold = fields.get("gold", text)
    if isinstance(gold, str) and gold.strip() != text.strip():
        raise LineError(f"gold: expected what answer says, found {found(gold)}: leave one out")
    return [text]


def _check_answer(answer: str, judging: Judging) -> None:
    one_line = judging.match == "exact" and judging.stop is None
    if not answer.strip() or (one_line and "\n" in answer.strip()):
        wanted = "one line of text" if one_line else "a text"
        raise LineError(f"answer: expected {wanted}, found {quoted(repr(answer))}")
    if judging.match == "number" and number_in(answer) is None:
        raise LineError(f"answer: expected a number, as match: number compares, found {quoted(repr(answer))}")
    if judging.match == "choice" and answer.strip().upper() not in string.ascii_uppercase:
        raise LineError(f"answer: expected a letter, as match: choice compares, found {quoted(repr(answer))}")
    if judging.match == "regex":
        _checked(check_pattern, answer, "answer")


def _judging(fields: Fields) -> Judging:
    match, steps, n = fields.get("match", "exact"), fields.get("normalise", ()), fields.get("max_tokens")
    if match not in MATCHES:
        hint = did_you_mean(match, MATCHES)
        raise LineError(f"match: expected one of {', '.join(MATCHES)}, found {found(match)}; {hint}".rstrip("; "))
    for step in _texts(steps, "normalise"):
        if step not in STEPS:
            raise LineError(f"normalise: expected steps of {', '.join(STEPS)}, found {quoted(step)}")
    if n is not None and (not isinstance(n, int) or isinstance(n, bool) or not 1 <= n <= _MOST_TOKENS):
        raise LineError(f"max_tokens: expected a whole number from 1 to {_MOST_TOKENS}, found {found(n)}")
    stop = tuple(_texts(fields["stop"], "stop")) if "stop" in fields else None
    language = string_at(fields, "language") if "language" in fields else None
    if language is not None:
        _checked(check_language, language, "language")
    return Judging(match, tuple(_texts(steps, "normalise")), n, stop, language)  # type: ignore[arg-type]


def _texts(value: Any, key: str) -> list[str]:
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list | tuple):
        raise LineError(f"{key}: expected a list of strings, found {found(value)}")
    return [text_of(text, f"{key}[{i}]") for i, text in enumerate(values)]


def _turns(fields: Fields) -> tuple[Turn, ...] | None:
    if "messages" not in fields:
        return None
    messages = fields["messages"]
    if not isinstance(messages, list) or not messages:
        raise LineError(f"messages: expected a list of objects with role and content, found {found(messages)}")
    turns = []
    for i, one in enumerate(messages):
        if not isinstance(one, dict) or one.get("role") not in _ROLES or not isinstance(one.get("content"), str):
            expected = f"role ({', '.join(_ROLES)}) and content (a string)"
            raise LineError(f"messages[{i}]: expected {expected}, found {found(one)}")
        turns.append((one["role"], text_of(one["content"], f"messages[{i}].content", empty=True)))
    if turns[-1][0] != "user":
        raise LineError(f"messages: expected a user's message as the last one, found one of {turns[-1][0]}")
    return tuple(turns)


def _checked(check: Callable[[str], None], text: str, key: str) -> None:
    try:
        check(text)
    except FitnessError as error:
        raise LineError(f"{key}: {str(error).removeprefix(f'{key}: ')}") from error


def _missing_or(fields: Fields, key: str) -> str:
    return f"found {found(fields[key])}" if key in fields else "found no such key"
