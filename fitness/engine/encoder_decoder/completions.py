"""Completes prompts in batches: the encoder reads them once, the decoder writes a token a pass for each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from fitness.engine.encoder_decoder.rows import encoded
from fitness.engine.generation.decoding import Decoding, Written, extend
from fitness.engine.generation.padded_generation import batches
from fitness.engine.model.forward import device_of
from fitness.engine.model.memory import Sizes
from fitness.engine.model.tokenizer import Tokenizer
from fitness.engine.scoring.windows import Prompt


def written(model: nn.Module, prompts: Sequence[Prompt], sizes: Sizes, tokenizer: Tokenizer) -> list[Written]:
    """Return what the decoder writes after each prompt, in their order."""
    decodings = [Decoding(prompt, tokenizer) for prompt in prompts]
    in_order = sorted(decodings, key=lambda d: (-len(d.prompt.ids), -d.prompt.max_new_tokens, d.prompt.ids))
    with torch.inference_mode():
        for batch in batches(in_order, sizes, one_length=False):
            _write(model, batch, tokenizer.decoder_start)
    return [decoding.written for decoding in decodings]


def _write(model: nn.Module, decodings: Sequence[Decoding], start: tuple[int, ...]) -> None:
    device, active = device_of(model), list(decodings)
    prompts = encoded(model, [decoding.prompt.ids for decoding in decodings])
    ids, cache = torch.tensor([start] * len(active), device=device), None
    while active:
        output: Any = model(decoder_input_ids=ids, past_key_values=cache, use_cache=True, **prompts.arguments)
        cache = output.past_key_values
        extend(active, output.logits[:, -1])
        kept = [i for i, decoding in enumerate(active) if not decoding.ended]
        if kept and len(kept) < len(active):
            rows = torch.tensor(kept, device=device)
            prompts = prompts.rows(rows)
            cache.reorder_cache(rows)
        active = [active[i] for i in kept]
        ids = torch.tensor([[decoding.last_token] for decoding in active], device=device)
