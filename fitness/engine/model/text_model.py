"""The part of a model that reads and writes text: of a vision-language model, a model inside of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn


def text_settings(config: Any) -> Any:
    """Return the settings of the part of a model that reads text; the config itself where it has no such level."""
    find = getattr(config, "get_text_config", None)
    try:
        return config if find is None else find()
    except ValueError:  # several parts read text
        return config


def text_model(model: nn.Module) -> Any:
    """Return the model whose layers read text: the decoder of a vision-language model, else the model itself."""
    find = getattr(model, "get_decoder", None)
    decoder = None if find is None else find()
    return decoder if hasattr(decoder, "set_attn_implementation") else model


def is_encoder_decoder(model: nn.Module) -> bool:
    """Say whether a model reads with one part, and writes with another."""
    return bool(getattr(getattr(model, "config", None), "is_encoder_decoder", False))


def forget_images(model: nn.Module) -> None:
    """Make a vision-language model forget where its last image lay, which shifts the positions of text after it."""
    for module in model.modules():
        if getattr(module, "rope_deltas", None) is not None:
            module.rope_deltas = None  # type: ignore[assignment]
