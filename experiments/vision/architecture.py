"""A tiny LLaVA that looks at scikit-learn's digits, with its tokenizer and processor; nothing is downloaded."""

from __future__ import annotations

from typing import Any

import torch
import transformers

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
PARITY = ("even", "odd")
SIDE, PATCH, MOST = 8, 2, 16.0  # pixels of an image and of a patch, and scikit-learn's brightest pixel
SPECIAL = ("<pad>", "<s>", "</s>", "<unk>", "<image>")
_WIDTH: dict[str, Any] = {"hidden_size": 48, "intermediate_size": 96, "num_attention_heads": 4}


def make_processor() -> Any:
    """Return the processor: words to tokens, images to pixels."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = (*SPECIAL, "name", "parity", *DIGITS, *PARITY)
    text = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    text.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=text, pad_token="<pad>", bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )
    tokenizer.add_special_tokens({"additional_special_tokens": ["<image>"]})
    size = {"height": SIDE, "width": SIDE}
    pixels = transformers.CLIPImageProcessorPil(
        size=size, do_resize=False, do_center_crop=False, do_convert_rgb=False, rescale_factor=1 / 255
    )
    return transformers.LlavaProcessor(
        pixels,
        tokenizer,
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,  # CLIP's class token, which the strategy leaves out
    )


def make_model(processor: Any, seed: int = 0) -> Any:
    """Return a model with random weights, some 0.1 million."""
    tokens = processor.tokenizer
    torch.manual_seed(seed)
    text = transformers.LlamaConfig(
        **_WIDTH,
        num_hidden_layers=2,
        vocab_size=len(tokens),
        max_position_embeddings=64,
        bos_token_id=tokens.bos_token_id,
        eos_token_id=tokens.eos_token_id,
        pad_token_id=tokens.pad_token_id,
    )
    vision = transformers.CLIPVisionConfig(**_WIDTH, num_hidden_layers=2, image_size=SIDE, patch_size=PATCH)
    config = transformers.LlavaConfig(
        text_config=text,
        vision_config=vision,
        image_token_id=tokens.convert_tokens_to_ids("<image>"),
        image_seq_length=(SIDE // PATCH) ** 2,
        vision_feature_layer=-1,
    )
    return transformers.LlavaForConditionalGeneration(config).eval()
