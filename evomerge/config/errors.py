"""What is wrong with a campaign file: every problem at once, each with its key, line, expected and found."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from evomerge.errors import EvomergeError


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
    """A campaign that cannot be used; `str()` is one line per problem, in the order of the file (None: no file).

    Of more than five the first four are told; `problems` has all.
    """

    exit_code = 2

    def __init__(self, path: Path | None, problems: Iterable[ConfigProblem]) -> None:
        self.path = path
        self.problems = sorted(problems, key=lambda problem: problem.line or 0)
        super().__init__("\n".join(self._lines()))

    def _lines(self) -> list[str]:
        if self.path is None:
            return list(map(str, self.problems))
        return [
            f"{self.path}:{problem.line}: {problem}" if problem.line else f"{self.path}: {problem}"
            for problem in self.problems
        ]
