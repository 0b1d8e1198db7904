"""What a task asks of a language model, what it gets back, and the protocol that hides the engine between the two.

A task states requests (text in), the engine turns them into a plan once per campaign (tokenised, ordered, laid out),
and the plan answers them with any model of the family. `trie.py` is the engine.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from fitness.errors import FitnessError

if TYPE_CHECKING:  # a campaign file is read without numpy
    import numpy as np
    from numpy.typing import NDArray
    from torch import nn

# Bytes that scoring takes above the model's own on a CPU unless told otherwise; on a GPU it takes what is free.
DEFAULT_BUDGET = 4 * 2**30


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
class NextTokens:
    """Asks for the next token's distribution at some places of a text.

    Attributes:
        text: at least one token.
        n_positions: how many places, spread evenly over the text's tokens; the last is its end. A text of fewer tokens
            has a place after each.
    """

    text: str
    n_positions: int = 1


@dataclass(frozen=True)
class NextTokensAlong:
    """Asks for the next token's distribution after `text`, and after each token of a continuation of it.

    Attributes:
        text: may be empty.
        continuation: at least one token.
    """

    text: str
    continuation: str


@dataclass(frozen=True)
class Sampling:
    """How a completion is drawn; greedy where a Completion has none.

    Attributes:
        temperature: above 0.
        top_k: draw among so many of the likeliest tokens; None = all.
        top_p: draw among the likeliest tokens that together have this probability, in (0, 1].
        seed: at least 0; the same seed, prompt and weights give the same completion, whatever else is asked.

    Raises:
        FitnessError: a value out of range.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name, expected, is_right in (
            ("temperature", "a finite number above 0", 0.0 < self.temperature < math.inf),
            ("top_k", "at least 1, or None for all tokens", self.top_k is None or self.top_k >= 1),
            ("top_p", "above 0 and at most 1", 0.0 < self.top_p <= 1.0),
            ("seed", "at least 0", self.seed >= 0),
        ):
            if not is_right:
                raise FitnessError(f"sampling: {name}: expected {expected}, found {getattr(self, name)}")


@dataclass(frozen=True)
class Completion:
    """Asks for a completion of `prompt`, up to a stop string, the end of text or `max_new_tokens`."""

    prompt: str
    stop: tuple[str, ...] = ()
    max_new_tokens: int = 256
    sampling: Sampling | None = None


@dataclass(frozen=True)
class CompletionLength:
    """Asks how many tokens a completion takes, an end token included; beside its Completion it costs nothing."""

    of: Completion


@dataclass(frozen=True)
class LogLikelihood:
    """Answers a Continuation or a WholeText.

    Attributes:
        value: sum of log p(token | everything before it) over the scored tokens, in nats; finite.
        is_greedy: every scored token is the most likely one.
    """

    value: float
    is_greedy: bool


@dataclass(frozen=True, eq=False)
class Distributions:
    """Answers NextTokens and NextTokensAlong.

    Attributes:
        log_probabilities: (n_positions, n_vocabulary) float32, in nats.
    """

    log_probabilities: NDArray[np.float32]


def likelihood_of(answer: Answer) -> float:
    """Return the value of an answer that is a LogLikelihood."""
    assert isinstance(answer, LogLikelihood)
    return answer.value


Run = Continuation | WholeText | NextTokens | NextTokensAlong | Completion  # what models are run on
Request = Run | CompletionLength
Answer = LogLikelihood | Distributions | str | int


def run_for(request: Request) -> Run:
    """Return what a model is run on to answer a request: for a completion's length, the completion."""
    return request.of if isinstance(request, CompletionLength) else request


class Plan(Protocol):
    """Requests made ready: tokenised, deduplicated and ordered, for any model that uses the engine's tokenizer."""

    def answer(self, model: nn.Module) -> list[Answer]:
        """Return one answer per request, in their order: LogLikelihood, Distributions, a Completion's text or length.

        Puts the model in evaluation mode. Answers do not depend on the other requests: log-likelihoods within 1e-4
        in float32, completions as long as no two tokens tie within that.

        Raises:
            FitnessError: the model's outputs are not finite, or one request alone does not fit in memory.
        """
        ...

    def answer_together(self, models: Sequence[nn.Module]) -> list[list[Answer] | FitnessError]:
        """Return each model's answers, or what `answer` would raise because of it alone.

        The answers equal those of one model after the other, bit for bit; what the models have in common, told by the
        attribute `layer_key` of their layers, may be run once.
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
