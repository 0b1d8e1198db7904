"""The engine: requests tokenised once per campaign, laid out as a trie, and run in the fastest way that is exact."""

from __future__ import annotations

from collections.abc import Sequence

from fitness.engine.language_model import Request
from fitness.engine.model.budget import DEFAULT_BUDGET
from fitness.engine.model.memory import Sizes
from fitness.engine.model.tokenizer import Tokenizer
from fitness.engine.scoring.layout import Mode
from fitness.engine.scoring.sizing import Sizing
from fitness.engine.trie_plan import TriePlan


class TrieLanguageModel:
    """Runs requests so that whatever they share is computed once per model; implements `LanguageModel`.

    How exactly and in what sizes is found on the first model of a kind, and kept.

    Args:
        tokenizer: the tokenizer that all models to score share.
        memory: bytes that a forward pass may take above the model's own.
        mode: how to run; None = the fastest that is exact.
        sizes: what a forward pass may hold; None = what is fast and fits in `memory`.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        *,
        memory: int = DEFAULT_BUDGET,
        mode: Mode | None = None,
        sizes: Sizes | None = None,
    ) -> None:
        self.tokenizer = tokenizer
        self.sizing = Sizing(tokenizer.n_tokens, memory, mode, sizes)

    def plan(self, requests: Sequence[Request], block_ends: Sequence[int] | None = None) -> TriePlan:
        """Tokenise requests and share what is equal (see `LanguageModel.plan`)."""
        return TriePlan(self.tokenizer, self.sizing, requests, block_ends)
