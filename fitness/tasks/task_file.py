"""Task files: a row for each item, the kind of item told by its keys."""

from __future__ import annotations

import logging
import math
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from fitness.errors import FitnessError
from fitness.tasks.asking import Asking
from fitness.tasks.contents import id_by_content
from fitness.tasks.groups import GROUP, NO_GROUP
from fitness.tasks.items import Item, MultipleChoice, Task, Text
from fitness.tasks.json_lines import LineError, found, quoted, text_of
from fitness.tasks.row_items import KEYS, KINDS, item_of
from fitness.tasks.rows import Read, rows_of
from fitness.tasks.unread_keys import tell_unread_keys
from fitness.tasks.written_answer import WrittenAnswer

_LOG = logging.getLogger(__name__)
_MAX_ID = 200  # characters


def load_task_file(
    path: str | Path,
    name: str | None = None,
    *,
    numbered: bool = False,
    group: str = GROUP,
    asking: Asking | None = None,
) -> Task:
    """Read a task file (JSON lines, CSV, TSV, Parquet; UTF-8), all of whose rows are items of one kind.

    `{"question": ..., "choices": [...], "gold": 2}` is multiple choice (`answer`, the choice's text or index, may
    stand for `gold`; `delimiter` may replace the space between question and choice); `{"prompt": ..., "answer": ...}`
    is an answer that the model writes, by exact match if neither the row nor `asking` says otherwise; `{"text": ...}`
    is perplexity. An `id` is optional: by default it names what the item asks, equal items numbered, so that it is the
    same on another line; with `numbered` it is the line's number, as it was before. The key `group`, a string or a
    number, is optional too, and what items on one passage have in common. The task is called as the file, without its
    ending, unless it has a name.
    """
    path = Path(path)
    return task_of(rows_of(path), str(path), name or path.stem, numbered=numbered, group=group, asking=asking)


def task_of(
    rows: Iterable[tuple[int, Read]],
    place: str,
    name: str,
    *,
    numbered: bool = False,
    group: str = GROUP,
    asking: Asking | None = None,
) -> Task:
    """Return the task of rows; see `load_task_file`."""
    asking = asking or Asking()
    try:
        keys = asking.keys
    except LineError as error:
        raise FitnessError(f"task {place}: {error}") from error
    read = _read(rows, asking, numbered=numbered, group=group)
    if read.errors:
        raise FitnessError("\n".join(f"{place}:{line}: {message}" for line, message in read.errors))
    if not read.items:
        raise FitnessError(f"{place}: expected at least one item, found none; each line holds {KINDS}")
    if group not in (GROUP, NO_GROUP) and not read.group_of:
        raise FitnessError(f"{place}: expected the key {group!r}, which groups items, on some line, found it on none")
    _check_answers_differ(place, read.items)
    _tell_equal_choices(place, read.items, read.line_of)
    if asking.template is None and not asking.columns:
        tell_unread_keys(place, read.line_of_key, (*KEYS, "id", group, *keys))
    return Task(name, tuple(read.items), group_of=read.group_of)


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
        if self.items and _describe(item) != _describe(self.items[0]):
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


def _read(rows: Iterable[tuple[int, Read]], asking: Asking, *, numbered: bool, group: str) -> _Read:
    read, equal = _Read(), Counter[str]()
    for number, row in rows:
        try:
            fields = row()
            for key in fields:
                read.line_of_key.setdefault(key, number)
            fields = asking.completed(fields)
            item = item_of(fields)
            default = str(number) if numbered else id_by_content(item.asks, equal)
            item = replace(item, id=_id(fields["id"]) if "id" in fields else default)
            named = None if group == NO_GROUP or group not in fields else _group(fields[group], group)
            read.add(item, number, named)
        except LineError as error:
            read.errors.append((number, str(error)))
    return read


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


def _describe(item: Item) -> str:
    if isinstance(item, WrittenAnswer):
        return "exact match" if item.judging is None else f"match: {item.judging.match}"
    return "multiple choice" if isinstance(item, MultipleChoice) else "perplexity of text"


def _check_answers_differ(place: str, items: Sequence[Item]) -> None:
    answers = {_answer(item) for item in items}
    if len(items) > 1 and len(answers) == 1:
        only = quoted(repr(answers.pop()))
        raise FitnessError(
            f"{place}: expected answers that differ between items, found {only} for all {len(items)}: "
            "a model that always says so would be perfect"
        )


def _tell_equal_choices(place: str, items: Sequence[Item], line_of: Mapping[str, int]) -> None:
    lines = [
        line_of[item.id]
        for item in items
        if isinstance(item, MultipleChoice) and len(set(item.requests())) < len(item.choices)
    ]
    if lines:
        _LOG.warning(
            "%s:%d: expected choices that differ, found equal ones: none of them can be told from the others (%d of %d "
            "items are so)", place, lines[0], len(lines), len(items),
        )  # fmt: skip


def _answer(item: Item) -> tuple[object, ...]:
    match item:
        case MultipleChoice():
            return item.gold, item.choices[item.gold]
        case WrittenAnswer():
            return tuple(answer.strip() for answer in item.answers)
        case Text():
            return (item.text,)
