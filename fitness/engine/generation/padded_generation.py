"""Completes prompts in left-padded batches with a key-value cache, for models that cannot be packed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from torch import nn

from fitness.engine.generation.decoding import Decoding, Written, extend
from fitness.engine.model.forward import accepts, known_tokens
from fitness.engine.model.memory import Sizes
from fitness.engine.model.tokenizer import Tokenizer
from fitness.engine.scoring.rows import pack
from fitness.engine.scoring.windows import Prompt


def padded_completions(
    model: nn.Module, prompts: Sequence[Prompt], sizes: Sizes, tokenizer: Tokenizer
) -> list[Written]:
    """Return the completion of each prompt, in their order.

    A model whose forward pass takes no positions cannot be padded on the left: there, only prompts of one length share
    a batch.
    """
    decodings = [Decoding(prompt, tokenizer) for prompt in prompts]
    in_order = sorted(decodings, key=lambda d: (-len(d.prompt.ids), -d.prompt.max_new_tokens, d.prompt.ids))
    with torch.inference_mode():
        for batch in batches(in_order, sizes, one_length=not accepts(model, "position_ids")):
            _complete(model, batch)
    return [decoding.written for decoding in decodings]


def batches(decodings: Sequence[Decoding], sizes: Sizes, *, one_length: bool) -> Iterator[Sequence[Decoding]]:
    """Yield completions that fit in one pass each; with `one_length` only prompts of one length are together."""
    for _, group in groupby(decodings, key=lambda d: len(d.prompt.ids) if one_length else 0):
        members = list(group)
        costs = [(len(d.prompt.ids) + d.prompt.max_new_tokens, 1) for d in members]
        for batch in pack(costs, token_budget=8 * sizes.tokens, position_budget=sizes.reads):
            yield members[batch.start : batch.stop]


def _complete(model: nn.Module, decodings: Sequence[Decoding]) -> None:
    active = list(decodings)
    state = _DecodingState.start(model, [decoding.prompt.ids for decoding in decodings])
    while active:
        extend(active, state.step(model))
        kept = [i for i, decoding in enumerate(active) if not decoding.ended]
        state.extend([decoding.last_token for decoding in active], kept)
        active = [active[i] for i in kept]


@dataclass
class _DecodingState:
    """What the next decoding step needs; rows that have ended are dropped."""

    ids: torch.Tensor  # (n_rows, length) tokens so far, padded on the left
    mask: torch.Tensor | None  # (n_rows, length) 1 at tokens, 0 at padding; None when nothing is padded
    cache: Any = None  # the model's of keys and values; None before the first step or when the model has none
    n_cached: int = 0  # how many columns of `ids` the cache holds

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
        """Run the tokens that are not cached yet, and return each row's last logits, (n_rows, n_vocabulary)."""
        arguments: dict[str, Any] = {}
        if self.mask is not None:
            positions = (self.mask.cumsum(dim=1) - 1).clamp(min=0)
            arguments = {"attention_mask": self.mask, "position_ids": positions[:, self.n_cached :]}
        if accepts(model, "past_key_values"):
            arguments |= {"past_key_values": self.cache, "use_cache": True}
        if accepts(model, "logits_to_keep"):
            arguments["logits_to_keep"] = 1
        with known_tokens():
            output = model(self.ids[:, self.n_cached :], **arguments)
        self.cache = getattr(output, "past_key_values", None)
        if self.cache is not None:
            self.n_cached = self.ids.shape[1]
        logits: torch.Tensor = getattr(output, "logits", output)
        return logits[:, -1]

    def extend(self, next_ids: Sequence[int], kept: Sequence[int]) -> None:
        self.ids = torch.cat([self.ids, torch.tensor(next_ids, device=self.ids.device)[:, None]], dim=1)
        if self.mask is not None:
            self.mask = torch.cat([self.mask, torch.ones_like(self.mask[:, :1])], dim=1)
        if len(kept) == len(self.ids):
            return
        rows = torch.tensor(kept, dtype=torch.long, device=self.ids.device)
        self.ids = self.ids[rows]
        self.mask = None if self.mask is None else self.mask[rows]
        if self.cache is not None and kept:
            self.cache.reorder_cache(rows)  # selects rows, in every kind of cache
