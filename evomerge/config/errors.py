"""What is wrong with a campaign file: every problem at once, each with its key, line, expected and found."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from pydantic import ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from evomerge.errors import EvomergeError, did_you_mean

__all__ = ["MISMATCH", "ConfigError", "ConfigProblem", "did_you_mean", "in_words", "mismatch", "refuse"]

MISMATCH = "campaign_mismatch"


@dataclass(frozen=True)
class ConfigProblem:
    """One thing to correct in a campaign file.

    Attributes:
        key: where, as in `parents[0].model`; empty when it is the file as a whole.
        line: counts from 1; None when no line is to blame.
        expected: what would be right.
        found: what is there.
        hint: what to do; empty when `expected` says it all.
    """

    key: str
    line: int | None
    expected: str
    found: str
    hint: str = ""

    def __str__(self) -> str:
        key = f"{self.key}: " if self.key else ""
        hint = f"; {self.hint}" if self.hint else ""
        return f"{key}expected {self.expected}, found {self.found}{hint}"


class ConfigError(EvomergeError, ValueError):
    """A campaign file that cannot be used; `str()` is one line per problem, in the order of the file."""

    exit_code = 2

    def __init__(self, path: Path, problems: Iterable[ConfigProblem]) -> None:
        self.path = path
        self.problems = sorted(problems, key=lambda problem: problem.line or 0)
        super().__init__("\n".join(self._lines()))

    def _lines(self) -> list[str]:
        return [
            f"{self.path}:{problem.line}: {problem}" if problem.line else f"{self.path}: {problem}"
            for problem in self.problems
        ]


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
            return repr(value)
