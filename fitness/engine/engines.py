"""Which engine runs the models of a tokenizer."""

from __future__ import annotations

from pathlib import Path

from fitness.engine.encoder_decoder.language_model import EncoderDecoder
from fitness.engine.language_model import LanguageModel
from fitness.engine.model.tokenizer import Tokenizer
from fitness.engine.trie import TrieLanguageModel


def language_model_for(tokenizer: Tokenizer, *, memory: int | None = None, tokens: Path | None = None) -> LanguageModel:
    """Return the engine for models with this tokenizer, which says whether they are encoder-decoders.

    Args:
        tokenizer: that all models to score share.
        memory: bytes that a forward pass may take above the model's own; None = 4 GiB on a CPU, what is free on a GPU.
        tokens: a directory where token ids of many requests are kept for other processes; None = they are not kept.
    """
    if tokenizer.decoder_start:
        return EncoderDecoder(tokenizer, memory=memory)
    return TrieLanguageModel(tokenizer, memory=memory, tokens=tokens)
