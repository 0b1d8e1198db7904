"""A model whose completions are known: each token is followed by one other, whatever stands before."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import LlamaConfig, LlamaForCausalLM


def reciting_model(ids: Sequence[int], n_vocabulary: int, *, end_id: int) -> torch.nn.Module:
    """Return a Llama that follows each of `ids`, all different, by the next of them, and the last by `end_id`."""
    assert len(set(ids)) == len(ids), "a token has one successor"
    config = LlamaConfig(
        vocab_size=n_vocabulary,
        hidden_size=n_vocabulary + n_vocabulary % 2,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        max_position_embeddings=128,
        tie_word_embeddings=False,
        eos_token_id=end_id,
        bos_token_id=None,
        pad_token_id=None,
    )
    model = LlamaForCausalLM(config).eval()
    with torch.no_grad():
        for parameter in (model.model.layers[0].self_attn.o_proj.weight, model.model.layers[0].mlp.down_proj.weight):
            parameter.zero_()
        model.model.embed_tokens.weight.copy_(torch.eye(*model.model.embed_tokens.weight.shape))
        model.lm_head.weight.zero_()
        for token, following in zip(ids, [*ids[1:], end_id], strict=True):
            model.lm_head.weight[following, token] = 1.0
    return model
