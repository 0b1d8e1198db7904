"""Several merges in one file, mergekit-multi's form: documents with a `name`, by which others call them as models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search_spaces.errors import SpaceError
from search_spaces.mergekit.models import references
from search_spaces.mergekit.remarks import keys_and_values

NAME = "name"


@dataclass(frozen=True)
class Step:
    """One merge of the file.

    Attributes:
        key: what messages call it.
        name: what others call it; None for the one that is none's parent.
        data: the document, without its name.
        directory: where it is written.
        kept: whether it is a result, not only another merge's parent.
    """

    key: str
    name: str | None
    data: Mapping[str, Any]
    directory: Path
    kept: bool


@dataclass(frozen=True)
class Order:
    """The merges in an order in which parents come first, and remarks on what is not carried out."""

    steps: tuple[Step, ...]
    remarks: tuple[str, ...]

    @property
    def made(self) -> Mapping[str, Path]:
        """Where the merges with a name are written."""
        return {step.name: step.directory for step in self.steps if step.name is not None}


def in_order(documents: Sequence[object], out: Path, between: Path) -> Order:
    """Return the merges of a file.

    The result is the document without a name, else the one that no other names. It is written to `out`, what it is
    made of to `between`. Where several are named by none, and all have names, each is a result, in `out`/NAME.

    Raises:
        SpaceError: names are missing, double or no directory's, or documents name each other in a circle.
    """
    parts = [dict(keys_and_values(document, f"document {i + 1}")) for i, document in enumerate(documents)]
    names = [_name(part.pop(NAME, None), f"document {i + 1}") for i, part in enumerate(parts)]
    _check(names)
    needs = [[names.index(name) for name in references(part) if name in names] for part in parts]
    named = {need for i, several in enumerate(needs) for need in several if need != i}
    results = [i for i, name in enumerate(names) if name is None] or [i for i in range(len(parts)) if i not in named]
    order: list[int] = []
    for i in results or range(len(parts)):
        _visit(i, needs, names, (), order)
    left_out = [name for i, name in enumerate(names) if i not in order]
    remarks = tuple(f"name: no other document names {name!r} as a model; it is not carried out" for name in left_out)
    steps = []
    for i in order:
        alone = out if len(results) == 1 else out / str(names[i])
        directory = alone if i in results else between / str(names[i])
        steps.append(Step(f"document {i + 1}", names[i], parts[i], directory, i in results))
    return Order(tuple(steps), remarks)


def _name(value: object, key: str) -> str | None:
    if value is None:
        return None
    name = str(value)
    if name in ("", ".", "..") or Path(name).name != name:
        raise SpaceError(f"{key}: name: expected one that a directory can have, found {value!r}")
    return name


def _check(names: Sequence[str | None]) -> None:
    if names.count(None) > 1:
        raise SpaceError(
            f"name: expected one in each document but the last, found {names.count(None)} documents of {len(names)} "
            "without; by it later documents call a merge as their model"
        )
    for name in names:
        if names.count(name) > 1:
            raise SpaceError(f"name: expected another one for each document, found {name!r} twice")


def _visit(
    i: int, needs: Sequence[Sequence[int]], names: Sequence[str | None], below: tuple[int, ...], order: list[int]
) -> None:
    """Append what document i needs, then itself."""
    if i in below:
        circle = [str(names[j]) for j in (*below[below.index(i) :], i)]
        raise SpaceError(f"name: expected documents that need only others, found a circle: {' needs '.join(circle)}")
    if i in order:
        return
    for need in needs[i]:
        _visit(need, needs, names, (*below, i), order)
    order.append(i)
