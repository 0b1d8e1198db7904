"""A completion in progress: how its next token is drawn, when it ends, and its text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import torch

from fitness.engine.language_model import CompletionLength, Request, Sampling
from fitness.engine.model.tokenizer import Tokenizer
from fitness.engine.scoring.windows import Prompt
from fitness.errors import FitnessError


@dataclass(frozen=True)
class Written:
    """A completion that has ended."""

    text: str
    n_tokens: int  # that were generated, at least 1: those of a stop string and an end token count

    def answer(self, request: Request) -> str | int:
        """Return what answers a Completion, or a CompletionLength."""
        return self.n_tokens if isinstance(request, CompletionLength) else self.text


class Decoding:
    """The tokens of one completion so far."""

    def __init__(self, prompt: Prompt, tokenizer: Tokenizer) -> None:
        self.prompt = prompt
        self.ids: list[int] = []  # after the prompt
        self.ended = False  # by an end token, the last allowed one, or one that completes a stop string
        self._tokenizer = tokenizer
        # A stop string of n bytes spans at most n tokens; a few more tokens keep characters whole.
        self._n_tail = max((len(stop.encode()) for stop in prompt.stop), default=0) + 4
        self._last_characters = frozenset(stop[-1] for stop in prompt.stop)
        # Of this request alone, so that its completion does not depend on the others.
        self._random = np.random.default_rng([prompt.sampling.seed, *prompt.ids]) if prompt.sampling else None

    @property
    def last_token(self) -> int:
        """The token that the next one follows."""
        return self.ids[-1] if self.ids else self.prompt.ids[-1]

    def append(self, token: int) -> None:
        """Add the next token."""
        self.ids.append(token)
        self.ended = token in self._tokenizer.end_ids or len(self.ids) >= self.prompt.max_new_tokens or self._stops()

    @property
    def text(self) -> str:
        """The text without special tokens, cut at each stop string in turn, as lm-eval cuts it."""
        text = self._tokenizer.decode([i for i in self.ids if i not in self._tokenizer.end_ids])
        for stop in self.prompt.stop:
            text = text.partition(stop)[0]
        return text

    @property
    def written(self) -> Written:
        """What came of it."""
        return Written(self.text, len(self.ids))

    def _stops(self) -> bool:
        if not self.prompt.stop:
            return False
        if not self._tokenizer.written.may_end(self.ids[-1], self._last_characters):
            return False
        # Special tokens count as the text they are written as: lm-eval's backend stops at "<|im_end|>", too.
        tail = self._tokenizer.decode(self.ids[-self._n_tail :], special_tokens=True)
        return any(stop in tail for stop in self.prompt.stop)

    def uniform(self) -> float:
        """Return the next random number in [0, 1) of this request alone."""
        assert self._random is not None, "greedy completions draw nothing"
        return self._random.random()


def extend(decodings: Sequence[Decoding], logits: torch.Tensor) -> None:
    """Append the next token to each of n completions, by (n, n_vocabulary) logits."""
    best = logits.max(dim=-1)
    drawn = best.indices
    sampled = [(decoding.prompt.sampling, row) for row, decoding in enumerate(decodings) if decoding.prompt.sampling]
    for _, group in groupby(sorted(sampled, key=lambda pair: _shape(pair[0])), key=lambda pair: _shape(pair[0])):
        pairs = list(group)
        rows = [row for _, row in pairs]
        uniforms = torch.tensor([decodings[row].uniform() for row in rows], dtype=torch.float64, device=logits.device)
        drawn[rows] = draw(logits[rows], pairs[0][0], uniforms)
    # The one wait for the device in a step.
    *tokens, is_finite = torch.cat([drawn, torch.isfinite(best.values).all()[None].to(drawn.dtype)]).tolist()
    if not is_finite:
        raise FitnessError("the model's logits are not finite: its weights hold or produce NaN or infinity")
    for decoding, token in zip(decodings, tokens, strict=True):
        decoding.append(token)


def draw(logits: torch.Tensor, sampling: Sampling, uniforms: torch.Tensor) -> torch.Tensor:
    """Return (n,) tokens of (n, n_vocabulary) logits, by inversion of the cumulative distribution at (n,) uniforms.

    Temperature, then the `top_k` likeliest, then of these the likeliest that together have probability `top_p`
    (nucleus sampling, arXiv 1904.09751, eq. 2 and 3), in transformers' order.
    """
    scores = logits.double() / sampling.temperature
    if sampling.top_k is not None and sampling.top_k < scores.shape[-1]:
        least = scores.topk(sampling.top_k).values[:, -1:]
        scores = scores.masked_fill(scores < least, -torch.inf)
    probabilities = scores.softmax(dim=-1)
    if sampling.top_p < 1:
        ordered, order = probabilities.sort(dim=-1, descending=True, stable=True)
        beyond = ordered.cumsum(dim=-1) - ordered >= sampling.top_p
        probabilities = probabilities.scatter(1, order, ordered.masked_fill(beyond, 0.0))
    cumulative = probabilities.cumsum(dim=-1)
    drawn = torch.searchsorted(cumulative, uniforms[:, None] * cumulative[:, -1:], right=True)
    return drawn[:, 0].clamp(max=scores.shape[-1] - 1)


def _shape(sampling: Sampling) -> tuple[float, int, float]:
    """What must be equal for completions to be drawn together."""
    return sampling.temperature, sampling.top_k or 0, sampling.top_p
