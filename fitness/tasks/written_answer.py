"""Items whose answers models write: the prompt, the right answers, and when a completion says one of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from fitness.engine.language_model import Answer, Completion, Continuation, NextTokens, Request, likelihood_of
from fitness.tasks.contents import content
from fitness.tasks.framing import Frame, Turn
from fitness.tasks.languages import is_in
from fitness.tasks.matching import Match, Normalise, is_right, normalised

LINE = ("\n",)
MAX_TOKENS = 256


@dataclass(frozen=True)
class Judging:
    """How long a completion may be, and when it is right.

    Attributes:
        match: see `is_right`.
        normalise: steps that completion and answers go through before they are compared.
        max_tokens: of a completion; None: of an exact match what it takes to tell right from wrong, else 256.
        stop: strings that end it; None: of an exact match a line's end, else nothing does.
        language: ISO 639-1 code of the language that a right completion is in; None: any.
    """

    match: Match = "exact"
    normalise: tuple[Normalise, ...] = ()
    max_tokens: int | None = None
    stop: tuple[str, ...] | None = None
    language: str | None = None


@dataclass(frozen=True)
class WrittenAnswer:
    """A prompt with a right answer, or several; the greedy completion scores 1 when it says one of them, else 0.

    Without `judging` it is an exact match: the completion's line equals an answer, spaces around aside.
    """

    id: str  # unique within its task
    prompt: str
    answer: str
    others: tuple[str, ...] | None = None  # right answers beside the first
    judging: Judging | None = None
    choices: tuple[str, ...] | None = None  # that letters stand for
    system: str | None = None  # a system message of its own
    turns: tuple[Turn, ...] | None = None  # of a chat, in place of the prompt

    metrics: ClassVar[tuple[str, ...]] = ("exact_match",)

    @property
    def answers(self) -> tuple[str, ...]:
        """All right answers."""
        return (self.answer, *(self.others or ()))

    @property
    def by_pattern(self) -> bool:
        """Whether its answers are patterns, which nobody writes."""
        return self.judging is not None and self.judging.match == "regex"

    def requests(self) -> list[Request]:
        """Return the one request, of an exact match no longer than it takes to tell right from wrong.

        A token is at least one byte of the answer, or a space beside it.
        """
        judging = self.judging or Judging()
        enough = max(len(answer.strip().encode()) for answer in self.answers) + 8
        exact = judging.match == "exact" and not judging.normalise
        stop = judging.stop if judging.stop is not None else LINE if judging.match == "exact" else ()
        return [Completion(self.prompt, stop, judging.max_tokens or (enough if exact else MAX_TOKENS))]

    @property
    def asks(self) -> str:
        """What is asked, the right answer aside."""
        if self.turns:
            return content("prompt", "\n".join(text for _, text in self.turns))
        return content("prompt", self.prompt)

    def answered(self) -> Continuation:
        """Return the right answer after the prompt."""
        return Continuation(self.prompt, space_between(self.prompt, self.answer) + self.answer)

    def compared(self) -> NextTokens:
        """Return where an expert is compared with: at the prompt's end."""
        return NextTokens(self.prompt)

    def score(self, answers: Sequence[Answer], metric: str = "exact_match") -> float:
        """Return 1.0 or 0.0."""
        assert metric == "exact_match"
        (completion,) = answers
        assert isinstance(completion, str)
        judging = self.judging or Judging()
        wanted = self.answers
        if judging.language is not None and not is_in(judging.language, completion):
            return 0.0
        if judging.normalise:
            completion = normalised(completion, judging.normalise)
            wanted = tuple(normalised(answer, judging.normalise) for answer in wanted)
        return float(is_right(judging.match, completion, wanted, self.choices or ()))

    def signal(self, answers: Sequence[Answer], metric: str) -> float:
        """Return the log-likelihood of the right answer, in nats."""
        del metric
        (answer,) = answers
        return likelihood_of(answer)

    def framed(self, frame: Frame, *, chat: bool) -> WrittenAnswer:
        """Return the item with its whole prompt."""
        del chat
        return replace(self, prompt=frame(self.prompt, self.system, self.turns), system=None, turns=None)


def space_between(before: str, after: str) -> str:
    """Return what stands between a question and an answer: a space, or nothing where there is one already."""
    return "" if before == "" or before[-1].isspace() or after[:1].isspace() else " "
