"""The tree's mask for PyTorch's flex_attention: a kernel that is compiled for the mask, and skips what nobody sees.

A mask that is a matrix excludes the fast kernels of a GPU, and what they never store is stored. Errors of compilers are
RuntimeErrors; `Sizing` runs models without flex_attention after one.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor

from fitness.engine.model.attention import AttentionRule
from fitness.engine.scoring.tree_attention import TreeBlock


class FlexMasks:
    """Attention of a chunk that is one block; its block masks are made for the first model, and kept."""

    def __init__(self, block: TreeBlock) -> None:
        self._block, self._keys = block, block.keys
        self._masks: dict[int | None, Any] = {}

    def attend(self, query: Tensor, key: Tensor, value: Tensor, rule: AttentionRule) -> Tensor:
        """Return the chunk's attention (see `TreeMasks.attend`)."""
        rows, keys = self._block.rows, self._keys
        output = query.new_zeros(1, query.shape[2], query.shape[1], value.shape[3])  # (1, n_padded, n_heads, d_value)
        part: Tensor = _kernel(query.device.type)(
            query[:, :, rows].contiguous(),
            key[:, :, keys].contiguous(),
            value[:, :, keys].contiguous(),
            score_mod=None if rule.softcap is None else _capping(rule.softcap),
            block_mask=self._mask(rule.window),
            scale=rule.scale,
            enable_gqa=True,
        )
        output[:, rows] = part.transpose(1, 2)
        return output

    def _mask(self, window: int | None) -> Any:
        from torch.nn.attention.flex_attention import create_block_mask

        window = self._block.narrowed(window)
        if window not in self._masks:
            shape = (self._block.n_rows, self._block.n_keys)
            device = str(self._block.device)
            self._masks[window] = create_block_mask(self._block.sees(window), None, None, *shape, device=device)
        return self._masks[window]


@cache
def _capping(softcap: float) -> Callable[..., Tensor]:
    def capped(score: Tensor, *_: Tensor) -> Tensor:
        return softcap * torch.tanh(score / softcap)

    return capped


@cache
def _kernel(device: str) -> Callable[..., Any]:
    from torch.nn.attention import flex_attention as module

    flex_attention: Callable[..., Any] = module.flex_attention
    if device != "cpu":  # fullgraph: an error where it would be run uncompiled
        return torch.compile(flex_attention, dynamic=True, fullgraph=True)

    def uncompiled(*inputs: Tensor, **arguments: Any) -> Any:
        with warnings.catch_warnings():  # that it is slow: only tests run it here
            warnings.simplefilter("ignore", UserWarning)
            return flex_attention(*inputs, **arguments)

    return uncompiled
