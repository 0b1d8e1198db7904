"""From requests to token sequences, with lm-eval's rules for windows and truncation."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from fitness.engine.language_model import Completion, NextTokens, NextTokensAlong, Run, Sampling, WholeText
from fitness.engine.model.tokenizer import Tokenizer
from fitness.errors import FitnessError

log = logging.getLogger(__name__)

Tokens = tuple[int, ...]


class Cuts:
    """Counts requests that lose their beginning to the model's length, and says so once."""

    def __init__(self) -> None:
        self.lost: list[int] = []  # tokens, of each
        self._told = False

    def last(self, ids: Sequence[int], limit: int) -> Tokens:
        """Return the last `limit` tokens of a request."""
        if len(ids) > limit:
            self.lost.append(len(ids) - limit)
        return tuple(ids[-limit:])

    def tell(self, n_requests: int, limit: int) -> None:
        """Say how many of the requests so far were cut, unless it was said before."""
        if self.lost and not self._told:
            self._told = True
            log.warning(
                "%d of %d requests are longer than the %d tokens that the model takes: their beginnings are truncated, "
                "by up to %d tokens (max_position_embeddings of config.json says how many it takes)",
                len(self.lost),
                n_requests,
                limit,
                max(self.lost),
            )


@dataclass(frozen=True)
class Window:
    """A sequence whose next-token distributions are read at some places."""

    inputs: Tokens  # at least one token
    places: Tokens  # positions in `inputs`, ascending
    # the token whose log-likelihood is wanted at each place; None where the distributions themselves are
    targets: Tokens | None

    @classmethod
    def predicting(cls, inputs: Sequence[int], targets: Sequence[int]) -> Window:
        """Make a window whose last len(targets) positions predict `targets`."""
        return cls(tuple(inputs), tuple(range(len(inputs) - len(targets), len(inputs))), tuple(targets))


@dataclass(frozen=True)
class Prompt:
    """A tokenised prompt and where its completion ends."""

    ids: Tokens
    stop: tuple[str, ...]
    max_new_tokens: int
    sampling: Sampling | None = None

    def as_long_as_completed(self) -> Window:
        """Return a window on which to try how a model can be run: the prompt, as long as it may become."""
        length = len(self.ids) + self.max_new_tokens
        ids = (self.ids * -(-length // len(self.ids)))[:length]
        return Window.predicting(ids, ids[:1])


def tokenise(request: Run, tokenizer: Tokenizer, cuts: Cuts | None = None) -> Prompt | list[Window]:
    """Return what a request asks of a model, cut from the left to the model's length as lm-eval cuts it."""
    limit, cuts = tokenizer.max_length, Cuts() if cuts is None else cuts
    if isinstance(request, Completion):
        return _prompt(request, tokenizer, cuts)
    if isinstance(request, WholeText):
        return list(rolling_windows(_encoded(request.text, tokenizer), tokenizer.prefix_id, limit))
    if isinstance(request, NextTokens):
        ids = cuts.last(_encoded(request.text, tokenizer), limit)
        return [Window(ids, _spread(len(ids), request.n_positions), None)]
    if isinstance(request, NextTokensAlong):
        context, continuation = tokenizer.encode_pair(request.text, request.continuation)
        along = cuts.last((*context, *continuation), limit)
        return [Window(along, tuple(range(max(0, len(along) - len(continuation) - 1), len(along))), None)]
    context, continuation = tokenizer.encode_pair(request.context, request.continuation)
    if len(continuation) > limit:
        raise FitnessError(
            f"continuation {request.continuation[:40]!r}...: expected at most the {limit} tokens that the model "
            f"takes, found {len(continuation)}"
        )
    # The last token is predicted, never read.
    return [Window.predicting(cuts.last(context + continuation, limit + 1)[:-1], continuation)]


def rolling_windows(ids: Sequence[int], prefix_id: int, max_length: int) -> Iterator[Window]:
    """Yield windows that predict each token once, as lm-eval's rolling log-likelihood does.

    The first window starts from `prefix_id`. Each later one reads `max_length` tokens up to the last that it predicts,
    so the final one takes as context what is already predicted.
    """
    for start in range(0, len(ids), max_length):
        end = min(start + max_length, len(ids))
        inputs = ids[end - max_length - 1 : end - 1] if start else (prefix_id, *ids[: end - 1])
        yield Window.predicting(inputs, ids[start:end])


def _encoded(text: str, tokenizer: Tokenizer) -> list[int]:
    ids = tokenizer.encode(text)
    if not ids:
        raise FitnessError(f"text {text[:40]!r}: expected at least one token, found none")
    return ids


def _spread(length: int, n_positions: int) -> Tokens:
    if n_positions < 1:
        raise FitnessError(f"n_positions: expected at least 1, found {n_positions}")
    n = min(n_positions, length)
    return tuple((np.arange(1, n + 1) * length // n - 1).tolist())


def _prompt(request: Completion, tokenizer: Tokenizer, cuts: Cuts) -> Prompt:
    room = tokenizer.max_length - request.max_new_tokens
    if room < 1 or request.max_new_tokens < 1:
        raise FitnessError(
            f"max_new_tokens: expected between 1 and {tokenizer.max_length - 1} for a model that takes "
            f"{tokenizer.max_length} tokens, found {request.max_new_tokens}"
        )
    ids = tokenizer.encode(request.prompt) or [tokenizer.prefix_id]
    return prompt_of(request, cuts.last(ids, room))


def prompt_of(request: Completion, ids: Tokens) -> Prompt:
    """Return the prompt of a request with these ids."""
    return Prompt(ids, tuple(text for text in request.stop if text), request.max_new_tokens, request.sampling)
