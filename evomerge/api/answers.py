"""A run's answers, as a list of records that is a frame as well."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, get_args, overload

from evomerge.api.arguments import refused
from evomerge.api.tables import reading
from evomerge.api.texts import frame, table_html
from evomerge.results.answers import ItemAnswer, answers_of, named
from fitness.scores import Split

if TYPE_CHECKING:
    import pandas as pd


class Answers(Sequence[ItemAnswer]):
    """What one candidate answered to the items of a split, in the order in which it was scored."""

    def __init__(self, path: Path, candidate: str | int, split: Split = "search") -> None:
        """Read from an archive."""
        if split not in get_args(Split):
            raise refused("split", f"one of {', '.join(get_args(Split))}", split)
        with reading(path) as archive:
            self.candidate, self.split = named(archive, str(candidate)).number, split
            self._rows = answers_of(archive, self.candidate, split)

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> ItemAnswer: ...
    @overload
    def __getitem__(self, index: slice) -> list[ItemAnswer]: ...
    def __getitem__(self, index: int | slice) -> ItemAnswer | list[ItemAnswer]:
        """Return an answer by its place."""
        return self._rows[index]

    def to_pandas(self) -> pd.DataFrame:
        """Return one row an item: score, prompt, gold, answer, choices, likelihoods."""
        return frame([asdict(row) for row in self._rows], "item")

    def __repr__(self) -> str:
        return f"Answers(candidate {self.candidate}, {len(self)} {self.split} items)"

    def _repr_html_(self) -> str:
        rows = [[row.item, f"{row.score:g}", row.gold, row.answer] for row in self._rows[:50]]
        return table_html(["item", "score", "gold", "answer"], rows)
