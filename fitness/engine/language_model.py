"""What a task asks of a language model, what it gets back, and the protocol that hides the engine between the two.

A task states requests (text in), the engine turns them into a plan once per campaign (tokenised, ordered, laid out),
and the plan answers them with any model of the family. Plain padded batches (`plain.py`) are one engine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Continuation:
    """Asks for the log-likelihood of `continuation` after `context` (which may be empty)."""

    context: str
    continuation: str


@dataclass(frozen=True)
class WholeText:
    """Asks for the log-likelihood of a whole text, in windows of the model's length where it is longer."""

    text: str


@dataclass(frozen=True)
class Completion:
    """Asks for the greedy completion of `prompt`, up to a stop string, the end of text or `max_new_tokens`."""

    prompt: str
    stop: tuple[str, ...] = ()
    max_new_tokens: int = 256


@dataclass(frozen=True)
class LogLikelihood:
    """Answers a Continuation or a WholeText.

    Attributes:
        value: sum of log p(token | everything before it) over the scored tokens, in nats; finite.
        is_greedy: every scored token is the most likely one.
    """

    value: float
    is_greedy: bool


Request = Continuation | WholeText | Completion
Answer = LogLikelihood | str


class Plan(Protocol):
    """Requests made ready: tokenised, deduplicated and ordered, for any model that uses the engine's tokenizer."""

    def answer(self, model: nn.Module) -> list[Answer]:
        """Return one answer per request, in their order: a LogLikelihood, or the text of a Completion.

        Puts the model in evaluation mode. Answers do not depend on the other requests: log-likelihoods within 1e-4
        in float32, completions as long as no two tokens tie within that.

        Raises:
            FitnessError: the model's outputs are not finite, or one request alone does not fit in memory.
        """
        ...


class LanguageModel(Protocol):
    """An engine that runs language models over text."""

    def plan(self, requests: Sequence[Request]) -> Plan:
        """Make requests ready.

        Raises:
            FitnessError: a continuation has no token, or a request is longer than the model takes.
        """
        ...
