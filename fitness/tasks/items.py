"""Benchmark items of our own task files: what each asks of a model, and its scores."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import ClassVar

import numpy as np

from fitness.engine.language_model import (
    Answer,
    Continuation,
    NextTokens,
    Request,
    WholeText,
    likelihood_of,
)
from fitness.tasks.choice_metrics import CHOICE_METRICS, MARGINS, ScoredChoices, shown
from fitness.tasks.contents import content
from fitness.tasks.divergence import TEXT_POSITIONS
from fitness.tasks.framing import Frame, Turn
from fitness.tasks.written_answer import WrittenAnswer, space_between


@dataclass(frozen=True)
class MultipleChoice:
    """A question with choices, measured by the choices' log-likelihoods (see `choice_metrics`)."""

    id: str  # unique within its task
    question: str  # the context
    choices: tuple[str, ...]  # at least two continuations
    gold: int  # index of the right choice
    # stands between question and choice; by default a space, or nothing where there is one already
    delimiter: str | None = None
    system: str | None = None  # a system message of its own
    turns: tuple[Turn, ...] | None = None  # of a chat, in place of the question

    metrics: ClassVar[tuple[str, ...]] = tuple(CHOICE_METRICS)

    def requests(self) -> list[Request]:
        """Return one request per choice."""
        return [Continuation(self.question, self._delimiter(choice) + choice) for choice in self.choices]

    @property
    def asks(self) -> str:
        """What is asked, the right answer aside."""
        asked = "\n".join(text for _, text in self.turns) if self.turns else self.question
        return content("choice", asked, self.choices)

    def compared(self) -> NextTokens:
        """Return where an expert is compared with: at the question's end, before any space."""
        return NextTokens(self.question.rstrip(" "))

    def score(self, answers: Sequence[Answer], metric: str = "acc") -> float:
        """Return a metric of `choice_metrics`."""
        return CHOICE_METRICS[metric](self._scored(answers))

    def signal(self, answers: Sequence[Answer], metric: str) -> float:
        """Return the metric's margin, of the answers to the same requests."""
        return MARGINS[metric](self._scored(answers))

    def _scored(self, answers: Sequence[Answer]) -> ScoredChoices:
        likelihoods = np.array([likelihood_of(answer) for answer in answers])
        return ScoredChoices(likelihoods, self.choices, frozenset({self.gold}))

    def framed(self, frame: Frame, *, chat: bool) -> MultipleChoice:
        """Return the item with its whole prompt as question; in a chat the choice follows without delimiter."""
        whole, delimiter = frame(self.question, self.system, self.turns), "" if chat else self.delimiter
        return replace(self, question=whole, delimiter=delimiter, system=None, turns=None)

    def _delimiter(self, choice: str) -> str:
        return space_between(self.question, choice) if self.delimiter is None else self.delimiter


@dataclass(frozen=True)
class Text:
    """A text to predict; scores minus the bits per byte of UTF-8, at most 0, higher is better."""

    id: str
    text: str

    metrics: ClassVar[tuple[str, ...]] = ("bits_per_byte",)

    def requests(self) -> list[Request]:
        """Return the one request."""
        return [WholeText(self.text)]

    @property
    def asks(self) -> str:
        """The text."""
        return content("text", self.text)

    def compared(self) -> NextTokens:
        """Return where an expert is compared with: at places all over the text."""
        return NextTokens(self.text, TEXT_POSITIONS)

    def score(self, answers: Sequence[Answer], metric: str = "bits_per_byte") -> float:
        """Return log2 p(text) / bytes."""
        assert metric == "bits_per_byte"
        (answer,) = answers
        return likelihood_of(answer) / (math.log(2) * len(self.text.encode()))

    def framed(self, frame: Frame, *, chat: bool) -> Text:
        """Return the item as it is: nobody asks for a text."""
        del frame, chat
        return self


Item = MultipleChoice | WrittenAnswer | Text


@dataclass(frozen=True)
class Task:
    """Items of one kind under one name, with one measure."""

    name: str  # unique within a campaign; the first part of its items' ids, `task/item`
    items: tuple[Item, ...]  # at least one, ids unique
    measure: str = ""  # one of the items' metrics; empty: the first of them
    # item id -> what it asks before a prompt is made of it; empty: the items as they are
    asks: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)
    # item id -> name of the group that it is of (see `groups`); items that are left out stand alone
    group_of: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)
    _by_id: dict[str, Item] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_by_id", {item.id: item for item in self.items})
        if not self.asks:
            object.__setattr__(self, "asks", {item.id: item.asks for item in self.items})
        object.__setattr__(self, "measure", self.measure or self.items[0].metrics[0])

    @property
    def metric(self) -> str:
        """What an item's score measures; with a leading minus where it is negated."""
        return shown(self.measure)

    @property
    def item_ids(self) -> tuple[str, ...]:
        """Ids within the task, in the file's order."""
        return tuple(item.id for item in self.items)

    def item(self, item_id: str) -> Item:
        """Return an item."""
        return self._by_id[item_id]

    def item_text(self, item_id: str) -> str:
        """Return all that an item says but for its id, its right answer included."""
        said = asdict(self._by_id[item_id])
        return json.dumps({key: value for key, value in said.items() if key != "id" and value is not None})

    def requests(self, item_id: str) -> Sequence[Request]:
        """Return what an item asks of a model."""
        return self._by_id[item_id].requests()

    def score(self, item_id: str, answers: Sequence[Answer]) -> float:
        """Return an item's score, from the answers to its requests in their order."""
        return self._by_id[item_id].score(answers, self.measure)

    def signals(self) -> TaskSignals | None:
        """Return the signals of its answers; None where a measure is no right and wrong, or a match no equality."""
        exact = all(isinstance(item, WrittenAnswer) and item.judging is None for item in self.items)
        return TaskSignals(self) if exact or self.measure in MARGINS else None


@dataclass(frozen=True)
class TaskSignals:
    """How far a task's answers are from being wrong (see `answer_signals`)."""

    task: Task

    def requests(self, item_id: str) -> Sequence[Request]:
        """Return what the item asks, or its right answer where models write theirs."""
        item = self.task.item(item_id)
        return [item.answered()] if isinstance(item, WrittenAnswer) else item.requests()

    def score(self, item_id: str, answers: Sequence[Answer]) -> float:
        """Return the margin, or the right answer's log-likelihood."""
        item = self.task.item(item_id)
        assert isinstance(item, MultipleChoice | WrittenAnswer)
        return item.signal(answers, self.task.measure)
