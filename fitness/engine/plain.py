"""The engine without its sharing: what the trie is measured against."""

from __future__ import annotations

from fitness.engine.memory import Sizes
from fitness.engine.tokenizer import Tokenizer
from fitness.engine.trie import TrieLanguageModel
from fitness.engine.windows import rolling_windows

__all__ = ["PlainLanguageModel", "rolling_windows"]


def PlainLanguageModel(tokenizer: Tokenizer, *, token_budget: int = 4096) -> TrieLanguageModel:  # noqa: N802
    """Return an engine that runs plain padded batches of at most `token_budget` tokens."""
    return TrieLanguageModel(
        tokenizer, mode="plain", sizes=Sizes(max(1, token_budget // 8), 2**26 // tokenizer.n_tokens)
    )
