"""Tiny vision-language models, each with its text settings a level below, and an image for one of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import transformers

IMAGE = 300  # the token that stands for a piece of an image
CONTEXT = 96  # tokens that they take at once
TEXT: dict[str, Any] = {
    "vocab_size": 320,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": CONTEXT,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
_VISION: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "image_size": 32,
    "patch_size": 16,
}
_QWEN_VISION: dict[str, Any] = {
    "depth": 1,
    "hidden_size": 32,
    "num_heads": 4,
    "intermediate_size": 48,
    "out_hidden_size": 32,
    "patch_size": 8,
    "spatial_merge_size": 2,
    "num_position_embeddings": 16,
}


def _gemma3() -> Any:
    text = {**TEXT, "sliding_window": 8, "layer_types": ["sliding_attention", "full_attention"]}
    config = transformers.Gemma3Config(
        text_config=text, vision_config=_VISION, mm_tokens_per_image=4, image_token_index=IMAGE
    )
    return transformers.Gemma3ForConditionalGeneration(config)


def _llava() -> Any:
    config = transformers.LlavaConfig(
        text_config=transformers.LlamaConfig(**TEXT),
        vision_config=transformers.CLIPVisionConfig(**_VISION),
        image_token_id=IMAGE,
    )
    return transformers.LlavaForConditionalGeneration(config)


def _qwen3_vl() -> Any:
    rope = {"rope_type": "default", "mrope_section": [2, 1, 1], "mrope_interleaved": True, "rope_theta": 10000.0}
    config = transformers.Qwen3VLConfig(
        text_config={**TEXT, "rope_parameters": rope},
        vision_config={**_QWEN_VISION, "deepstack_visual_indexes": [0]},
        image_token_id=IMAGE,
    )
    return transformers.Qwen3VLForConditionalGeneration(config)


MODELS: dict[str, Callable[[], Any]] = {"gemma3": _gemma3, "llava": _llava, "qwen3_vl": _qwen3_vl}


def vision_language_model(kind: str) -> Any:
    """Return a random model whose predictions are sharp."""
    torch.manual_seed(0)
    model = MODELS[kind]().eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.normal_(0.0, 1.5 / parameter.shape[-1] ** 0.5, generator=generator)
    return model


@torch.no_grad()
def look(model: Any) -> None:
    """Let a Qwen3-VL see an image of 4 x 4 patches, as a Python task does."""
    ids = torch.tensor([[5, IMAGE, IMAGE, IMAGE, IMAGE, 6, 7]])
    n_values = 3 * 2 * 8 * 8  # channels, frames and pixels of a patch
    model(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        pixel_values=torch.randn(16, n_values, generator=torch.Generator().manual_seed(2)),
        image_grid_thw=torch.tensor([[1, 4, 4]]),
        mm_token_type_ids=(ids == IMAGE).long(),
    )
