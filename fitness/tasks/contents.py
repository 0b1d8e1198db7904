"""What items ask, by which their splits are drawn and equal ones are told; neither ids nor right answers count.

The prompts around a question (chat template, system instruction, few-shot examples) do not count either: a campaign
that asks in another way splits its items alike.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import Protocol, runtime_checkable

from fitness.protocols import AnyTask, ModelTask

_MAX_NAMED = 3


@runtime_checkable
class SaysWhatItAsks(Protocol):
    """A task that says what its items ask."""

    @property
    def asks(self) -> Mapping[str, str]:
        """Item id within the task -> what it asks: equal texts are equal items."""
        ...


def content(kind: str, text: str, choices: Iterable[str] = ()) -> str:
    """Return what an item asks as one text: space around texts and the order of choices make no difference."""
    return json.dumps([kind, text.strip(), *sorted(choice.strip() for choice in choices)])


def contents_of(task: AnyTask) -> Mapping[str, str]:
    """Return item id -> what it asks; of a task that runs the model itself nothing but the id is known."""
    if isinstance(task, SaysWhatItAsks):
        return task.asks
    if isinstance(task, ModelTask):
        return {item: content("id", item) for item in task.item_ids}
    return {item: content("requests", repr(tuple(task.requests(item)))) for item in task.item_ids}


def digest_of(content: str) -> str:
    """Return 16 hex digits that name a content."""
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def id_by_content(content: str, equal: Counter[str]) -> str:
    """Return an id made of what an item asks; of equal items, counted here, the second ends in -2, and so on."""
    name = digest_of(content)[:12]
    equal[name] += 1
    return name if equal[name] == 1 else f"{name}-{equal[name]}"


def equal_items(tasks: Sequence[AnyTask]) -> list[str]:
    """Return a sentence for each task, and each pair of tasks, with items that ask the same.

    Measures of the same items, `words` and `words:margin`, are no pair; of Python tasks nothing is known.
    """
    of_source = {task.name.partition(":")[0]: contents_of(task) for task in tasks if not isinstance(task, ModelTask)}
    distinct = {source: set(contents.values()) for source, contents in of_source.items()}
    found = [
        f"task {source!r}: {n} of its {len(contents)} items are duplicates: they ask the same as another"
        for source, contents in of_source.items()
        if (n := len(contents) - len(distinct[source]))
    ]
    shared = [
        f"tasks {one!r} and {other!r}: {n} equal items: they ask the same in both"
        for one, other in combinations(of_source, 2)
        if (n := len(distinct[one] & distinct[other]))
    ]
    more = len(shared) - _MAX_NAMED
    return [*found, *shared[:_MAX_NAMED], *([f"equal items in {more} more pairs of tasks"] if more > 0 else [])]
