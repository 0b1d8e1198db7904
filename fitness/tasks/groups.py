"""Which items come together: questions on one passage, paraphrases, turns of a conversation, a question asked twice.

Models are right or wrong on them together, so that they are split, and counted, as one. Items of one campaign are of
one group where their tasks say the same name for them, in whatever tasks they stand, or where they ask the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias, runtime_checkable

from fitness.protocols import AnyTask, ModelTask
from fitness.tasks.contents import content, contents_of, digest_of

GROUP = "group"  # the key of a JSONL item
NO_GROUP = "none"  # in place of a key: items that a task would group stand alone
# ("asks", what an item asks) or ("group", the name of its group): items with one of them in common come together
_Mark: TypeAlias = tuple[str, str]


@runtime_checkable
class SaysGroups(Protocol):
    """A task that says which of its items come together."""

    @property
    def group_of(self) -> Mapping[str, str]:
        """Item id within the task -> name of its group; what is left out stands alone."""
        ...


@dataclass(frozen=True)
class Groups:
    """The groups of several tasks' items, `task/item`; one that neither names stands alone."""

    of_items: Mapping[str, str] = field(default_factory=dict)  # item -> digest of its group, where that has several
    # item -> what its split is drawn by, where a task says a group; all others are drawn by what they ask
    drawn_by: Mapping[str, str] = field(default_factory=dict)

    @staticmethod
    def of(tasks: Sequence[AnyTask]) -> Groups:
        """Return the groups that tasks say, and those of items that ask the same.

        Of tasks that run the model themselves nothing is known but what they say.
        """
        marks = {f"{task.name}/{item}": found for task in tasks for item, found in _marks_of(task).items()}
        together = _Components(marks.values())
        names = {item: together.name_of(found[0]) for item, found in marks.items()}
        sizes = Counter(names.values())
        return Groups(
            {item: digest_of(content(*name)) for item, name in names.items() if sizes[name] > 1},
            {item: content(*name) for item, name in names.items() if name[0] == "group"},
        )


def groups_said(task: AnyTask) -> Mapping[str, str]:
    """Return item id -> name of its group, of those that the task says."""
    return task.group_of if isinstance(task, SaysGroups) else {}


def _marks_of(task: AnyTask) -> dict[str, tuple[_Mark, ...]]:
    said = groups_said(task)
    asks = {} if isinstance(task, ModelTask) else contents_of(task)
    marks = {
        item: (
            *([("asks", asks[item])] if item in asks else []),
            *([("group", said[item])] if item in said else []),
        )
        for item in task.item_ids
    }
    return {item: found for item, found in marks.items() if found}


class _Components:
    """Marks that are linked by items which have both (union-find)."""

    def __init__(self, linked: Iterable[Sequence[_Mark]]) -> None:
        self._parent: dict[_Mark, _Mark] = {}
        for first, *others in linked:
            for other in (first, *others):
                one, two = sorted((self.name_of(first), self.name_of(other)), key=_by_kind)
                self._parent[two] = one

    def name_of(self, mark: _Mark) -> _Mark:
        """Return the first mark of a component: the first of its groups' names, where it has any."""
        way = []
        while (parent := self._parent.setdefault(mark, mark)) != mark:
            way.append(mark)
            mark = parent
        for passed in way:
            self._parent[passed] = mark
        return mark


def _by_kind(mark: _Mark) -> tuple[bool, str]:
    return mark[0] != "group", mark[1]
