"""Tiny random models of several architectures, and what each linear layer was given, written down by hooks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

_SMALL = {
    "vocab_size": 50,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}

_SMALL_GPT2 = {
    "vocab_size": 50,
    "n_embd": 16,
    "n_layer": 2,
    "n_head": 4,
    "n_positions": 64,
    "bos_token_id": 1,
    "eos_token_id": 2,
}


def make(kind: str, **settings: Any) -> nn.Module:
    """Return a causal language model of a transformers `model_type`, random and in evaluation mode."""
    from transformers import AutoConfig, AutoModelForCausalLM

    given = (_SMALL_GPT2 if kind == "gpt2" else _SMALL) | settings
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **given)).eval()


def reader(prompts: Tensor, counts: Tensor) -> Callable[[nn.Module, Callable[[Tensor], None]], None]:
    """Return a `Read` of prompts (n_prompts, length), two at a time; their tokens count as counts (the same shape)."""

    def read(model: nn.Module, note: Callable[[Tensor], None]) -> None:
        for ids, times in zip(prompts.split(2), counts.split(2), strict=True):
            note(times.flatten())
            model(input_ids=ids)

    return read


def inputs_of(model: nn.Module, run: Callable[[], None], names: Sequence[str]) -> dict[str, list[Tensor]]:
    """Return what modules were given, one tensor per call."""
    found: dict[str, list[Tensor]] = {name: [] for name in names}
    hooks = [
        model.get_submodule(name).register_forward_pre_hook(
            lambda _, args, name=name: found[name].append(args[0].detach().clone())
        )
        for name in names
    ]
    with torch.no_grad():
        run()
    for hook in hooks:
        hook.remove()
    return found


def gram_of(inputs: Sequence[Tensor], counts: Tensor) -> Tensor:
    """Return E x x^T in float64 over all rows, each repeated as often as it counts."""
    rows = torch.cat([x.flatten(0, -2) for x in inputs]).double()
    rows = rows.repeat_interleave(counts.flatten(), dim=0)
    return rows.T @ rows / len(rows)
