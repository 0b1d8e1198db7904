"""Greedy completions in left-padded batches with a key-value cache."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import torch
from torch import nn

from fitness.engine.loglikelihood import accepts
from fitness.engine.tokenizer import Tokenizer
from fitness.errors import FitnessError


@dataclass(frozen=True)
class Prompt:
    """A tokenised prompt and where its completion ends."""

    ids: tuple[int, ...]
    stop: tuple[str, ...]
    max_new_tokens: int


@dataclass
class _Completion:
    prompt: Prompt
    ids: list[int] = field(default_factory=list)

    def text(self, tokenizer: Tokenizer) -> str:
        text = tokenizer.decode([i for i in self.ids if i not in tokenizer.end_ids])
        for stop in self.prompt.stop:
            text = text.split(stop, 1)[0]
        return text

    def ended(self, tokenizer: Tokenizer) -> bool:
        if self.ids[-1] in tokenizer.end_ids or len(self.ids) >= self.prompt.max_new_tokens:
            return True
        # A stop string of n bytes spans at most n tokens; a few more tokens keep characters whole.
        return any(stop in tokenizer.decode(self.ids[-len(stop.encode()) - 4 :]) for stop in self.prompt.stop)


def complete(model: nn.Module, prompts: Sequence[Prompt], tokenizer: Tokenizer) -> list[str]:
    """Return the greedy completion of each prompt of one batch, in their order.

    A model whose forward pass takes no positions cannot be padded on the left: there, only prompts of one length share
    a batch.

    `prompts` are sorted by length.

    Raises:
        FitnessError: the logits are not finite.
    """
    if accepts(model, "position_ids"):
        return _complete(model, prompts, tokenizer)
    by_length = [list(group) for _, group in groupby(prompts, key=lambda prompt: len(prompt.ids))]
    return [text for group in by_length for text in _complete(model, group, tokenizer)]


def _complete(model: nn.Module, prompts: Sequence[Prompt], tokenizer: Tokenizer) -> list[str]:
    completions = [_Completion(prompt) for prompt in prompts]
    active = list(completions)
    state = _DecodingState.start(model, [prompt.ids for prompt in prompts])
    with torch.inference_mode():
        while active:
            next_ids = state.step(model)
            for completion, next_id in zip(active, next_ids.tolist(), strict=True):
                completion.ids.append(next_id)
            kept = [i for i, completion in enumerate(active) if not completion.ended(tokenizer)]
            state.extend(next_ids, kept)
            active = [active[i] for i in kept]
    return [completion.text(tokenizer) for completion in completions]


@dataclass
class _DecodingState:
    """What the next decoding step needs; rows that have ended are dropped.

    Attributes:
        ids: (n_rows, length) tokens so far, padded on the left.
        mask: (n_rows, length) 1 at tokens, 0 at padding; None when nothing is padded.
        cache: the model's key-value cache, None before the first step or when the model has none.
        n_cached: how many columns of `ids` the cache holds.
    """

    ids: torch.Tensor
    mask: torch.Tensor | None
    cache: Any = None
    n_cached: int = 0

    @classmethod
    def start(cls, model: nn.Module, prompts: Sequence[Sequence[int]]) -> _DecodingState:
        device = next(model.parameters()).device
        length = max(map(len, prompts))
        ids = torch.tensor([[0] * (length - len(prompt)) + list(prompt) for prompt in prompts], device=device)
        if all(len(prompt) == length for prompt in prompts):
            return cls(ids, None)
        mask = torch.tensor([[0] * (length - len(p)) + [1] * len(p) for p in prompts], device=device)
        return cls(ids, mask)

    def step(self, model: nn.Module) -> torch.Tensor:
        """Run the tokens that are not cached yet, and return the most likely next token of each row, (n_rows,)."""
        arguments: dict[str, Any] = {}
        if self.mask is not None:
            positions = (self.mask.cumsum(dim=1) - 1).clamp(min=0)
            arguments = {"attention_mask": self.mask, "position_ids": positions[:, self.n_cached :]}
        if accepts(model, "past_key_values"):
            arguments |= {"past_key_values": self.cache, "use_cache": True}
        if accepts(model, "logits_to_keep"):
            arguments["logits_to_keep"] = 1
        output = model(self.ids[:, self.n_cached :], **arguments)
        self.cache = getattr(output, "past_key_values", None)
        if self.cache is not None:
            self.n_cached = self.ids.shape[1]
        best = getattr(output, "logits", output)[:, -1].max(dim=-1)
        if not torch.isfinite(best.values).all():
            raise FitnessError("the model's logits are not finite: its weights hold or produce NaN or infinity")
        next_ids: torch.Tensor = best.indices
        return next_ids

    def extend(self, next_ids: torch.Tensor, kept: Sequence[int]) -> None:
        """Append the next tokens, and keep only some rows."""
        self.ids = torch.cat([self.ids, next_ids[:, None]], dim=1)
        if self.mask is not None:
            self.mask = torch.cat([self.mask, torch.ones_like(self.mask[:, :1])], dim=1)
        if len(kept) == len(self.ids):
            return
        rows = torch.tensor(kept, dtype=torch.long, device=self.ids.device)
        self.ids = self.ids[rows]
        self.mask = None if self.mask is None else self.mask[rows]
        if self.cache is not None and kept:
            self.cache.reorder_cache(rows)  # selects rows, in every kind of cache
