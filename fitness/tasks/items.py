"""Benchmark items of our own task files: what each asks of a model, and its score."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from fitness.engine.language_model import Answer, Completion, Continuation, LogLikelihood, Request, WholeText


@dataclass(frozen=True)
class MultipleChoice:
    """A question with choices; scores 1 when the most likely choice is the right one (ties: the first), else 0.

    Attributes:
        id: unique within its task.
        question: the context.
        choices: at least two continuations.
        gold: index of the right choice.
        delimiter: stands between question and choice; by default a space, or nothing where there is one already.
    """

    id: str
    question: str
    choices: tuple[str, ...]
    gold: int
    delimiter: str | None = None

    metric: ClassVar[str] = "acc"

    def requests(self) -> list[Request]:
        """Return one request per choice."""
        return [Continuation(self.question, self._delimiter(choice) + choice) for choice in self.choices]

    def score(self, answers: Sequence[Answer]) -> float:
        """Return 1.0 or 0.0."""
        likelihoods = [_likelihood(answer) for answer in answers]
        return float(likelihoods.index(max(likelihoods)) == self.gold)

    def _delimiter(self, choice: str) -> str:
        if self.delimiter is not None:
            return self.delimiter
        spaced = self.question == "" or self.question[-1].isspace() or choice[0].isspace()
        return "" if spaced else " "


@dataclass(frozen=True)
class ExactMatch:
    """A prompt with one right answer; scores 1 when the greedy completion's line equals it, spaces around aside."""

    id: str
    prompt: str
    answer: str

    metric: ClassVar[str] = "exact_match"

    def requests(self) -> list[Request]:
        """Return the one request, no longer than it takes to tell right from wrong.

        A token is at least one byte of the answer, or a space beside it.
        """
        return [Completion(self.prompt, stop=("\n",), max_new_tokens=len(self.answer.strip().encode()) + 8)]

    def score(self, answers: Sequence[Answer]) -> float:
        """Return 1.0 or 0.0."""
        (completion,) = answers
        assert isinstance(completion, str)
        return float(completion.strip() == self.answer.strip())


@dataclass(frozen=True)
class Text:
    """A text to predict; scores minus the bits per byte of UTF-8, at most 0, higher is better."""

    id: str
    text: str

    metric: ClassVar[str] = "-bits_per_byte"

    def requests(self) -> list[Request]:
        """Return the one request."""
        return [WholeText(self.text)]

    def score(self, answers: Sequence[Answer]) -> float:
        """Return log2 p(text) / bytes."""
        (answer,) = answers
        return _likelihood(answer) / (math.log(2) * len(self.text.encode()))


Item = MultipleChoice | ExactMatch | Text


@dataclass(frozen=True)
class Task:
    """Items of one kind under one name.

    Attributes:
        name: unique within a campaign; the first part of its items' ids, `task/item`.
        items: at least one, ids unique.
    """

    name: str
    items: tuple[Item, ...]
    _by_id: dict[str, Item] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_by_id", {item.id: item for item in self.items})

    @property
    def metric(self) -> str:
        """What an item's score measures."""
        return self.items[0].metric

    @property
    def item_ids(self) -> tuple[str, ...]:
        """Ids within the task, in the file's order."""
        return tuple(item.id for item in self.items)

    def requests(self, item_id: str) -> Sequence[Request]:
        """Return what an item asks of a model."""
        return self._by_id[item_id].requests()

    def score(self, item_id: str, answers: Sequence[Answer]) -> float:
        """Return an item's score, from the answers to its requests in their order."""
        return self._by_id[item_id].score(answers)


def _likelihood(answer: Answer) -> float:
    assert isinstance(answer, LogLikelihood)
    return answer.value
