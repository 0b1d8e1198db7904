"""The plain engine: every request in padded batches, sorted by length, cut by a token budget."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from torch import nn

from fitness.engine.batching import pack, run_in_halves
from fitness.engine.generation import Prompt, complete
from fitness.engine.language_model import Answer, Completion, LogLikelihood, Request, WholeText
from fitness.engine.loglikelihood import Row, score_rows
from fitness.engine.tokenizer import Tokenizer
from fitness.errors import FitnessError

_MAX_LOGITS = 2**26  # logits of one batch: 256 MiB in float32

log = logging.getLogger(__name__)

Tokens = tuple[int, ...]


class _Window(NamedTuple):
    """`targets` are predicted at the last len(targets) positions of `inputs`."""

    inputs: Tokens
    targets: Tokens


class PlainLanguageModel:
    """Runs requests in plain padded batches.

    Args:
        tokenizer: the tokenizer that all models to score share.
        token_budget: most tokens of a batch, padding included. Scores do not depend on it (within 1e-4 in float32).
    """

    def __init__(self, tokenizer: Tokenizer, *, token_budget: int = 4096) -> None:
        if token_budget < 1:
            raise FitnessError(f"token_budget: expected at least 1, found {token_budget}")
        self._tokenizer = tokenizer
        self._token_budget = token_budget

    def plan(self, requests: Sequence[Request]) -> PlainPlan:
        """Tokenise the requests, share what is equal, and cut batches."""
        return PlainPlan(requests, self._tokenizer, self._token_budget)


class PlainPlan:
    """Requests as batches of rows (log-likelihoods) and of prompts (completions).

    Equal requests are run once, and so are requests that differ in their last token only: the choices A, B, C, D of
    one question read four logits off one row.
    """

    def __init__(self, requests: Sequence[Request], tokenizer: Tokenizer, token_budget: int) -> None:
        self._tokenizer = tokenizer
        tokenised = {request: _tokenise(request, tokenizer) for request in dict.fromkeys(requests)}
        targets: dict[Tokens, dict[Tokens, None]] = {}  # the inner dict is an ordered set
        prompts: dict[Prompt, None] = {}
        for parts in tokenised.values():
            if isinstance(parts, Prompt):
                prompts[parts] = None
            else:
                for window in parts:
                    targets.setdefault(window.inputs, {})[window.targets] = None
        rows = sorted(targets, key=lambda inputs: (-len(inputs), inputs))
        in_order = sorted(prompts, key=lambda p: (-len(p.ids), -p.max_new_tokens, p.ids, p.stop))
        score_of = {w: i for i, w in enumerate(_Window(inputs, t) for inputs in rows for t in targets[inputs])}
        text_of = {prompt: i for i, prompt in enumerate(in_order)}
        self._sources = [
            text_of[parts] if isinstance(parts, Prompt) else tuple(score_of[window] for window in parts)
            for parts in (tokenised[request] for request in requests)
        ]
        self._rows = _row_batches([Row.of(inputs, tuple(targets[inputs])) for inputs in rows], tokenizer, token_budget)
        self._prompts = _prompt_batches(in_order, token_budget)

    def answer(self, model: nn.Module) -> list[Answer]:
        """Return one answer per request, in their order (see `Plan.answer`)."""
        model.eval()
        scores = run_in_halves(self._rows, lambda rows: score_rows(model, rows))
        texts = run_in_halves(self._prompts, lambda prompts: complete(model, prompts, self._tokenizer))
        return [
            texts[source] if isinstance(source, int) else _sum([scores[i] for i in source]) for source in self._sources
        ]


def _sum(windows: Sequence[LogLikelihood]) -> LogLikelihood:
    return LogLikelihood(sum(w.value for w in windows), all(w.is_greedy for w in windows))


def _row_batches(rows: list[Row], tokenizer: Tokenizer, budget: int) -> list[Sequence[Row]]:
    costs = [(len(row.ids), row.n_scored) for row in rows]
    batches = pack(costs, token_budget=budget, position_budget=max(1, _MAX_LOGITS // tokenizer.n_tokens))
    return [[rows[i] for i in batch] for batch in batches]


def _prompt_batches(prompts: list[Prompt], budget: int) -> list[Sequence[Prompt]]:
    costs = [(len(prompt.ids) + prompt.max_new_tokens, 1) for prompt in prompts]
    return [[prompts[i] for i in batch] for batch in pack(costs, token_budget=budget, position_budget=budget)]


def _tokenise(request: Request, tokenizer: Tokenizer) -> Prompt | list[_Window]:
    limit = tokenizer.max_length
    if isinstance(request, Completion):
        return _prompt(request, tokenizer)
    if isinstance(request, WholeText):
        ids = tokenizer.encode(request.text)
        if not ids:
            raise FitnessError(f"text {request.text[:40]!r}: expected at least one token, found none")
        return list(rolling_windows(ids, prefix_id=tokenizer.prefix_id, max_length=limit))
    context, continuation = tokenizer.encode_pair(request.context, request.continuation)
    if len(continuation) > limit:
        raise FitnessError(
            f"continuation {request.continuation[:40]!r}...: expected at most the {limit} tokens that the model "
            f"takes, found {len(continuation)}"
        )
    whole = context + continuation
    if len(whole) > limit + 1:
        log.info("%d tokens cut from the left of a request that ends in %r", len(whole) - limit - 1, whole[-20:])
    # The last token is predicted, never read.
    return [_Window(tuple(whole[-(limit + 1) : -1]), tuple(continuation))]


def rolling_windows(ids: Sequence[int], *, prefix_id: int, max_length: int) -> Iterator[_Window]:
    """Yield windows that predict each token once, as lm-eval's rolling log-likelihood does.

    The first window starts from `prefix_id`. Each later one reads `max_length` tokens up to the last that it predicts,
    so the final one takes as context what is already predicted.
    """
    for start in range(0, len(ids), max_length):
        end = min(start + max_length, len(ids))
        inputs = ids[end - max_length - 1 : end - 1] if start else (prefix_id, *ids[: end - 1])
        yield _Window(tuple(inputs), tuple(ids[start:end]))


def _prompt(request: Completion, tokenizer: Tokenizer) -> Prompt:
    room = tokenizer.max_length - request.max_new_tokens
    if room < 1 or request.max_new_tokens < 1:
        raise FitnessError(
            f"max_new_tokens: expected between 1 and {tokenizer.max_length - 1} for a model that takes "
            f"{tokenizer.max_length} tokens, found {request.max_new_tokens}"
        )
    ids = tokenizer.encode(request.prompt) or [tokenizer.prefix_id]
    return Prompt(tuple(ids[-room:]), tuple(s for s in request.stop if s), request.max_new_tokens)
