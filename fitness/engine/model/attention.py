"""Puts an attention function of ours into a transformers model for the length of a forward pass."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from fitness.engine.model.text_model import text_model
from fitness.errors import FitnessError
from fitness.typing import Ints

_NAME = "evomerge"
# What a layer may hand over besides queries, keys and values without our having to act on it.
_HARMLESS = {"dropout", "position_ids", "cache_position", "is_causal"}


@dataclass(frozen=True)
class AttentionRule:
    """How one layer weighs keys."""

    scale: float  # multiplies the products
    window: int | None  # a token sees so many tokens back, itself included; None = all
    softcap: float | None  # scores s become softcap * tanh(s / softcap); None = as they are

    def capped(self, scores: Tensor) -> Tensor:
        """Return scores as Gemma 2 caps them (arXiv 2408.00118)."""
        return scores if self.softcap is None else self.softcap * torch.tanh(scores / self.softcap)


class Attend(Protocol):
    """Attention of one layer over a packed row."""

    def __call__(self, layer: int, query: Tensor, key: Tensor, value: Tensor, rule: AttentionRule) -> Tensor:
        """Return (1, n_tokens, n_heads, d_value).

        Args:
            layer: the layer's index.
            query: (1, n_heads, n_tokens, d), positions encoded.
            key: (1, n_key_heads, n_tokens, d) of the same tokens; n_key_heads divides n_heads.
            value: (1, n_key_heads, n_tokens, d_value).
            rule: the layer's.
        """
        ...


_current: ContextVar[Attend] = ContextVar("attend")


@contextmanager
def attending(model: nn.Module, attend: Attend) -> Iterator[None]:
    """Let every attention layer that reads text, of a transformers model, call `attend`, without a mask of its own."""
    from transformers import AttentionInterface

    text = text_model(model)
    config = getattr(text, "config", None)
    choosable = getattr(text, "_can_set_attn_implementation", None)
    if config is None or choosable is None or not choosable():
        raise FitnessError(f"{type(model).__name__} computes attention, if it has any, in a way of its own")
    AttentionInterface.register(_NAME, _attention)
    before = config._attn_implementation
    token = _current.set(attend)
    try:
        text.set_attn_implementation(_NAME)
        yield
    finally:
        text.set_attn_implementation(before)
        _current.reset(token)


def _attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    foreign = sorted(
        n for n, value in others.items() if value is not None and value is not False and n not in _HARMLESS
    )
    if foreign or attention_mask is not None or key.shape[2] != query.shape[2]:
        raise FitnessError(f"its attention needs more than queries, keys and values: {', '.join(foreign) or 'a mask'}")
    rule = AttentionRule(query.shape[-1] ** -0.5 if scaling is None else scaling, sliding_window, softcap)
    return _current.get()(int(module.layer_idx), query, key, value, rule), None  # type: ignore[arg-type]


def as_index(places: Ints, device: torch.device) -> slice | Tensor:
    """Return ascending places as an index, a slice where they follow each other: that one copies nothing."""
    if len(places) == 0:
        return slice(0, 0)
    if places[-1] - places[0] + 1 == len(places):
        return slice(int(places[0]), int(places[-1]) + 1)
    return torch.from_numpy(places).to(device)
