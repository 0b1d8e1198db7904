"""From requests to what the encoder reads and the decoder writes, with lm-eval's rules (`HFLM`, backend seq2seq)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fitness.engine.language_model import Completion, Continuation, NextTokens, NextTokensAlong, Run
from fitness.engine.model.tokenizer import Tokenizer
from fitness.engine.scoring.windows import Cuts, Prompt, Tokens, Window
from fitness.errors import FitnessError


@dataclass(frozen=True)
class Pair:
    """A prompt, and what the decoder is read on after it."""

    source: Tokens  # what the encoder reads
    window: Window  # the decoder's inputs, its first token before them all


def tokenised(request: Run, tokenizer: Tokenizer, cuts: Cuts) -> Prompt | Pair:
    """Return what a request asks of an encoder-decoder; prompts that are too long lose their beginning."""
    if isinstance(request, Completion):
        return _prompt(request, tokenizer, cuts)
    if isinstance(request, Continuation):
        return _pair(request.context, request.continuation, tokenizer, cuts, is_scored=True)
    if isinstance(request, NextTokensAlong):
        return _pair(request.text, request.continuation, tokenizer, cuts, is_scored=False)
    if isinstance(request, NextTokens) and request.n_positions == 1:
        source = tokenizer.encode(request.text) or [tokenizer.prefix_id]
        return Pair(cuts.last(source, tokenizer.max_length), Window((_start(tokenizer),), (0,), None))
    raise FitnessError(
        f"text {request.text[:40]!r}: expected a prompt with choices or an answer, as the model has an encoder for the "
        "one and a decoder for the other; found a text to be read as it is (perplexity)"
    )


def _prompt(request: Completion, tokenizer: Tokenizer, cuts: Cuts) -> Prompt:
    if not 1 <= request.max_new_tokens < tokenizer.max_length:
        raise FitnessError(
            f"max_new_tokens: expected between 1 and {tokenizer.max_length - 1} for a model that writes "
            f"{tokenizer.max_length} tokens, found {request.max_new_tokens}"
        )
    ids = tokenizer.encode(request.prompt) or [tokenizer.prefix_id]
    stop = tuple(text for text in request.stop if text)
    return Prompt(cuts.last(ids, tokenizer.max_length), stop, request.max_new_tokens, request.sampling)


def _pair(context: str, continuation: str, tokenizer: Tokenizer, cuts: Cuts, *, is_scored: bool) -> Pair:
    source, target = tokenizer.encode_pair(context, continuation)
    target = target[-tokenizer.max_length :]
    inputs = (_start(tokenizer), *(target[:-1] if is_scored else target))
    window = Window.predicting(inputs, target) if is_scored else Window(inputs, tuple(range(len(inputs))), None)
    return Pair(cuts.last(source, tokenizer.max_length), window)


def _start(tokenizer: Tokenizer) -> int:
    assert tokenizer.decoder_start
    return tokenizer.decoder_start[0]


def padded(rows: Sequence[Tokens], pad: int) -> list[list[int]]:
    """Return rows of one length, padded on the right."""
    length = max(map(len, rows))
    return [[*row, *[pad] * (length - len(row))] for row in rows]
