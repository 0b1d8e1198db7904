"""What a bank's file holds: parameters of items, or answers of models to items."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fitness.errors import FitnessError
from fitness.estimation.response_model import ItemParameters

MOST_ANSWERS = 2**22  # models x items of one bank


@dataclass(frozen=True)
class ItemKey:
    """How a bank calls an item."""

    item: str  # its id or number
    task: str = ""  # the bank's name of its task; empty where it has none
    content: str = ""  # digest of what it asks (`fitness.tasks.contents`); empty where that is not known


@dataclass(frozen=True, eq=False)
class Bank:
    """One file, or one directory of files, of a bank.

    Attributes:
        path: what was read.
        kind: what it is, in words.
        task: the campaign's task that all its items belong to; empty where they say it themselves.
        keys: of its items.
        parameters: of the items, in the order of the keys; None where there are answers instead.
        answers: model -> measure -> index of a key -> score; empty where there are parameters instead.
        digest: SHA-256 of its files.
    """

    path: Path
    kind: str
    task: str
    keys: tuple[ItemKey, ...]
    parameters: ItemParameters | None = None
    answers: Mapping[str, Mapping[str, Mapping[int, float]]] = field(default_factory=dict)
    digest: str = ""


class Answers:
    """Gathers answers of models to items, whatever the order in which they come."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._places: dict[ItemKey, int] = {}
        self._models: dict[str, dict[str, dict[int, float]]] = {}
        self._n = 0

    def add(self, model: str, key: ItemKey, scores: Mapping[str, float]) -> None:
        """Add one answer; of two to one item the first counts."""
        self._n += 1
        if self._n > MOST_ANSWERS:
            raise FitnessError(f"{self._path}: expected at most {MOST_ANSWERS:,} answers, found more: give fewer files")
        place = self._places.setdefault(key, len(self._places))
        of_model = self._models.setdefault(model, {})
        for measure, score in scores.items():
            of_model.setdefault(measure, {}).setdefault(place, score)

    def bank(self, kind: str, task: str, digest: str) -> Bank:
        """Return what was gathered."""
        if not self._models:
            raise FitnessError(f"{self._path}: expected answers of models, found none")
        return Bank(self._path, kind, task, tuple(self._places), answers=self._models, digest=digest)
