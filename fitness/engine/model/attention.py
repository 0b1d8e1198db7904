"""Puts an attention function of ours into a transformers model for the length of a forward pass."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from fitness.errors import FitnessError

_NAME = "evomerge"
# What a layer may hand over besides queries, keys and values without our having to act on it.
_HARMLESS = {"dropout", "position_ids", "cache_position", "is_causal"}


class Attend(Protocol):
    """Attention of one layer over a packed row."""

    def __call__(
        self,
        layer: int,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        *,
        scale: float,
        window: int | None,
        softcap: float | None,
    ) -> torch.Tensor:
        """Return (1, n_tokens, n_heads, d_value) from (1, heads, n_tokens, d) tensors; keys may have fewer heads.

        Args:
            layer: the layer's index.
            query: what attends.
            key: of the same tokens, positions encoded.
            value: of the same tokens.
            scale: multiplies the products.
            window: a token sees so many tokens back, itself included; None = all.
            softcap: scores s become softcap * tanh(s / softcap); None = as they are.
        """
        ...


_current: ContextVar[Attend] = ContextVar("attend")


@contextmanager
def attending(model: nn.Module, attend: Attend) -> Iterator[None]:
    """Let every attention layer of a transformers model call `attend`, without a mask of its own.

    Raises:
        FitnessError: the model's layers do not let their attention function be chosen.
    """
    from transformers import AttentionInterface

    config = getattr(model, "config", None)
    choosable = getattr(model, "_can_set_attn_implementation", None)
    if config is None or choosable is None or not choosable():
        raise FitnessError(f"{type(model).__name__} computes attention, if it has any, in a way of its own")
    AttentionInterface.register(_NAME, _attention)
    before = config._attn_implementation
    token = _current.set(attend)
    try:
        model.set_attn_implementation(_NAME)  # type: ignore[operator]
        yield
    finally:
        model.set_attn_implementation(before)  # type: ignore[operator]
        _current.reset(token)


def _attention(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **others: Any,
) -> tuple[torch.Tensor, None]:
    foreign = sorted(
        n for n, value in others.items() if value is not None and value is not False and n not in _HARMLESS
    )
    if foreign or attention_mask is not None or key.shape[2] != query.shape[2]:
        raise FitnessError(f"its attention needs more than queries, keys and values: {', '.join(foreign) or 'a mask'}")
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    attend, layer = _current.get(), int(module.layer_idx)  # type: ignore[arg-type]
    return attend(layer, query, key, value, scale=scale, window=sliding_window, softcap=softcap), None


def as_index(places: NDArray[np.int64], device: torch.device) -> slice | torch.Tensor:
    """Return ascending places as an index, a slice where they follow each other: that one copies nothing."""
    if len(places) == 0:
        return slice(0, 0)
    if places[-1] - places[0] + 1 == len(places):
        return slice(int(places[0]), int(places[-1]) + 1)
    return torch.from_numpy(places).to(device)
