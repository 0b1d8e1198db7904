"""How the rows of a task file become questions, where they do not say it themselves."""

from __future__ import annotations

import re
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fitness.errors import did_you_mean
from fitness.tasks.json_lines import Fields, LineError, found
from fitness.tasks.matching import Match, Normalise

# What rows may say of themselves, and `Asking` of all rows that do not.
PER_ROW = ("match", "normalise", "max_tokens", "stop", "language", "system")


@dataclass(frozen=True)
class Asking:
    """What holds for all rows of a file; what a row says itself goes before.

    Attributes:
        template: of the prompt, with names of the row's keys in braces, `{{` for a brace; `{choices}` is a line for
            each choice, with its letter. None: the row's `prompt` or `question`.
        columns: key -> the column that holds it, or the columns that make a list of it (choices).
        match, normalise, max_tokens, stop, language: see `Judging`; None: exact, and its defaults.
        system: a system message, before the campaign's.
    """

    template: str | None = None
    columns: Mapping[str, str | Sequence[str]] = field(default_factory=dict)
    match: Match | None = None
    normalise: tuple[Normalise, ...] | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] | None = None
    language: str | None = None
    system: str | None = None

    @property
    def keys(self) -> frozenset[str]:
        """Keys of rows that are read beside those of all files."""
        return frozenset([*template_keys(self.template or ""), *self._columns])

    def completed(self, row: Fields) -> Fields:
        """Return a row with its columns under the keys that they hold, its prompt, and all that it leaves open."""
        fields = {**row, **{key: self._held(row, key) for key in self.columns}}
        said = {key: getattr(self, key) for key in PER_ROW if getattr(self, key) is not None}
        fields = {**said, **fields}
        if self.template is not None:
            asked = filled(self.template, fields)
            if "choices" in fields and fields.get("match") != "choice":
                return {**fields, "question": asked}
            return {**{key: value for key, value in fields.items() if key != "question"}, "prompt": asked}
        return fields

    @property
    def _columns(self) -> list[str]:
        held = self.columns.values()
        return [name for names in held for name in ([names] if isinstance(names, str) else names)]

    def _held(self, row: Fields, key: str) -> object:
        names = self.columns[key]
        for name in [names] if isinstance(names, str) else names:
            if name not in row:
                hint = did_you_mean(name, row, f"these are there: {', '.join(map(repr, row))}")
                raise LineError(f"columns.{key}: expected the column {name!r}, found no such column; {hint}")
        return row[names] if isinstance(names, str) else [row[name] for name in names]


def template_keys(template: str) -> list[str]:
    """Return the keys that a template names.

    >>> template_keys("Question: {question} {{not this}}")
    ['question']

    Raises:
        LineError: it is none.
    """
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError as error:
        raise LineError(f"template: expected names in braces, as {{question}}, found {template!r}: {error}") from error
    names = [name for _, name, _, _ in parts if name is not None]
    for _, name, form, conversion in parts:
        if name is not None and (form or conversion or not re.fullmatch(r"[\w ]+", name)):
            shown = name + (f"!{conversion}" if conversion else "") + (f":{form}" if form else "")
            raise LineError(
                f"template: expected a key of the rows in braces, as {{question}}, found {{{shown}}}; "
                "write {{ and }} for braces in the prompt"
            )
    return names


def filled(template: str, fields: Fields) -> str:
    """Return a template with a row's values in it."""
    values = {}
    for name in template_keys(template):
        if name not in fields:
            hint = did_you_mean(name, fields, f"these are there: {', '.join(map(repr, fields))}")
            raise LineError(f"template: expected the key {name!r} in every row, found none; {hint}")
        values[name] = lettered(fields[name]) if isinstance(fields[name], list) else _shown(name, fields[name])
    literals = string.Formatter().parse(template)
    return "".join(text + (values[name] if name is not None else "") for text, name, _, _ in literals)


def lettered(choices: Sequence[Any]) -> str:
    """Return a line for each choice, with its letter.

    >>> print(lettered(["red", "blue"]))
    A. red
    B. blue
    """
    letters = zip(string.ascii_uppercase, choices, strict=False)
    return "\n".join(f"{letter}. {choice}" for letter, choice in letters)


def _shown(name: str, value: object) -> str:
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        raise LineError(f"template: expected a text or a number as {name!r}, found {found(value)}")
    return str(value)
