"""Task files: one JSON object a line, the kind of item detected from its keys."""

from __future__ import annotations

import difflib
import logging
import math
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from fitness.errors import FitnessError, did_you_mean
from fitness.tasks.contents import id_by_content
from fitness.tasks.groups import GROUP, NO_GROUP
from fitness.tasks.items import ExactMatch, Item, MultipleChoice, Task, Text
from fitness.tasks.json_lines import Fields, LineError, found, lines_of, object_in, quoted, text_of
from fitness.tasks.unread_keys import tell_unread_keys

_LOG = logging.getLogger(__name__)
_MAX_ID = 200  # characters
_KINDS = "`question`, `choices`, `gold` (multiple choice); `prompt`, `answer` (exact match); or `text` (perplexity)"
_KEYS = ("question", "choices", "gold", "prompt", "answer", "text")
_READ = (*_KEYS, "id", "delimiter")


def load_jsonl(path: str | Path, name: str | None = None, *, numbered: bool = False, group: str = GROUP) -> Task:
    """Read a task file: UTF-8, one JSON object a line, empty lines ignored, all items of one kind.

    `{"question": ..., "choices": [...], "gold": 2}` is multiple choice (`answer`, the choice's text or index, may
    stand for `gold`; `delimiter` may replace the space between question and choice); `{"prompt": ..., "answer": ...}`
    is exact match; `{"text": ...}` is perplexity. An `id` is optional: by default it names what the item asks, equal
    items numbered, so that it is the same on another line; with `numbered` it is the line's number, as it was before.
    The key `group`, a string or a number, is optional too, and what items on one passage have in common.
    The task is called as the file, without its ending, unless it has a name.
    """
    path = Path(path)
    read = _read(path, numbered=numbered, group=group)
    if read.errors:
        raise FitnessError("\n".join(f"{path}:{line}: {message}" for line, message in read.errors))
    if not read.items:
        raise FitnessError(f"{path}: expected at least one item, found none; each line holds {_KINDS}")
    if group not in (GROUP, NO_GROUP) and not read.group_of:
        raise FitnessError(f"{path}: expected the key {group!r}, which groups items, on some line, found it on none")
    _check_answers_differ(path, read.items)
    _tell_equal_choices(path, read.items, read.line_of)
    tell_unread_keys(path, read.line_of_key, (*_READ, group))
    return Task(name or path.stem, tuple(read.items), group_of=read.group_of)


@dataclass(frozen=True)
class _Read:
    """What the lines of a file hold, and (line, what is wrong with it)."""

    items: list[Item] = field(default_factory=list)
    line_of: dict[str, int] = field(default_factory=dict)
    line_of_key: dict[str, int] = field(default_factory=dict)
    group_of: dict[str, str] = field(default_factory=dict)
    errors: list[tuple[int, str]] = field(default_factory=list)

    def add(self, item: Item, line: int, group: str | None) -> None:
        """Take an item, or raise."""
        if self.items and type(item) is not type(self.items[0]):
            raise LineError(
                f"expected the kind of the first item ({_describe(self.items[0])}), found {_describe(item)}; "
                "put each kind in a file of its own"
            )
        if item.id in self.line_of:
            raise LineError(f"expected unique ids, found id {item.id!r} on line {self.line_of[item.id]} already")
        self.line_of[item.id] = line
        self.items.append(item)
        if group is not None:
            self.group_of[item.id] = group


def _read(path: Path, *, numbered: bool, group: str) -> _Read:
    read, equal = _Read(), Counter[str]()
    for number, text in lines_of(path):
        try:
            fields = object_in(text)
            for key in fields:
                read.line_of_key.setdefault(key, number)
            item = _maker(fields)(fields, "")
            default = str(number) if numbered else id_by_content(item.asks, equal)
            item = replace(item, id=_id(fields["id"]) if "id" in fields else default)
            named = None if group == NO_GROUP or group not in fields else _group(fields[group], group)
            read.add(item, number, named)
        except LineError as error:
            read.errors.append((number, str(error)))
    return read


def _maker(fields: Fields) -> Callable[[Fields, str], Item]:
    if "question" in fields or "choices" in fields:
        return _multiple_choice
    if "prompt" in fields:
        return _exact_match
    if "text" in fields:
        return lambda fields, item_id: Text(item_id, _string(fields, "text"))
    near = [f"{key!r} ({hint})" for key in fields if (hint := did_you_mean(key, _KEYS))]
    found = ", ".join(near or map(repr, fields)) or "no keys"
    raise LineError(f"expected the keys {_KINDS}; found {found}")


def _multiple_choice(fields: Fields, item_id: str) -> MultipleChoice:
    question = _string(fields, "question", empty=True)
    choices = fields.get("choices")
    if not isinstance(choices, list):
        raise LineError(f"choices: expected a list of strings, {_missing_or(fields, 'choices')}")
    if len(choices) < 2:
        raise LineError(f"choices: expected at least two, found {len(choices)}")
    texts = tuple(text_of(choice, f"choices[{i}]") for i, choice in enumerate(choices))
    delimiter = _string(fields, "delimiter", empty=True) if "delimiter" in fields else None
    return MultipleChoice(item_id, question, texts, _gold(fields, texts), delimiter)


def _gold(fields: Fields, choices: Sequence[str]) -> int:
    key = "gold" if "gold" in fields else "answer"
    gold = fields.get(key)
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


def _exact_match(fields: Fields, item_id: str) -> ExactMatch:
    answer = _string(fields, "answer")
    if not answer.strip() or "\n" in answer.strip():
        raise LineError(f"answer: expected one line of text, found {quoted(repr(answer))}")
    gold = fields.get("gold", answer)
    if isinstance(gold, str) and gold.strip() != answer.strip():
        raise LineError(f"gold: expected what answer says, found {found(gold)}: leave one out")
    return ExactMatch(item_id, _string(fields, "prompt"), answer)


def _id(value: object) -> str:
    name = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(name, str) or not name.strip():
        raise LineError(f"id: expected a string (one line) or a whole number, found {found(value)}")
    name = text_of(name, "id")
    if len(name) > _MAX_ID or any(unicodedata.category(c) in ("Cc", "Zl", "Zp") for c in name):
        expected = f"one line of at most {_MAX_ID} characters, none of them a control character"
        raise LineError(f"id: expected {expected}, found {found(value)}")
    return name


def _group(value: object, key: str) -> str:
    whole = int(value) if isinstance(value, float) and value.is_integer() else value  # 7.0 is 7
    number = isinstance(whole, (int, float)) and not isinstance(whole, bool) and abs(whole) < math.inf
    name = str(whole) if number else whole
    if not isinstance(name, str) or not name.strip():
        expected = "a string or a number that items of one group have in common"
        raise LineError(f"{key}: expected {expected}, found {found(value)}; leave it out where an item stands alone")
    return text_of(name, key).strip()


def _string(fields: Fields, key: str, *, empty: bool = False) -> str:
    if key not in fields:
        near = difflib.get_close_matches(key, [k for k in fields if k not in _KEYS], 1)
        raise LineError(f"{key}: expected a string, found no such key" + (f", but {near[0]!r}" if near else ""))
    return text_of(fields[key], key, empty=empty)


def _missing_or(fields: Fields, key: str) -> str:
    return f"found {found(fields[key])}" if key in fields else "found no such key"


def _describe(item: Item) -> str:
    return {MultipleChoice: "multiple choice", ExactMatch: "exact match", Text: "perplexity of text"}[type(item)]


def _check_answers_differ(path: Path, items: Sequence[Item]) -> None:
    answers = {_answer(item) for item in items}
    if len(items) > 1 and len(answers) == 1:
        only = quoted(repr(answers.pop()))
        raise FitnessError(
            f"{path}: expected answers that differ between items, found {only} for all {len(items)}: "
            "a model that always says so would be perfect"
        )


def _tell_equal_choices(path: Path, items: Sequence[Item], line_of: Mapping[str, int]) -> None:
    lines = [
        line_of[item.id]
        for item in items
        if isinstance(item, MultipleChoice) and len(set(item.requests())) < len(item.choices)
    ]
    if lines:
        _LOG.warning(
            "%s:%d: expected choices that differ, found equal ones: none of them can be told from the others (%d of %d "
            "items are so)", path, lines[0], len(lines), len(items),
        )  # fmt: skip


def _answer(item: Item) -> tuple[object, ...]:
    match item:
        case MultipleChoice():
            return item.gold, item.choices[item.gold]
        case ExactMatch():
            return (item.answer.strip(),)
        case Text():
            return (item.text,)
