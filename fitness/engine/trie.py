"""The engine: requests tokenised once per campaign, laid out as a trie, and run in the fastest way that is exact."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import nn

from fitness.engine.budget import DEFAULT_BUDGET
from fitness.engine.language_model import Request
from fitness.engine.layout import Mode
from fitness.engine.memory import Sizes, fitting_sizes
from fitness.engine.model_kind import kind_of
from fitness.engine.probe import exact_mode
from fitness.engine.tokenizer import Tokenizer
from fitness.engine.trie_plan import TriePlan
from fitness.engine.windows import Window
from fitness.errors import FitnessError


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
        if memory < 2**20:
            raise FitnessError(f"memory: expected at least 1 MiB, found {memory} bytes")
        self.tokenizer = tokenizer
        self._memory = memory
        self._mode = mode
        self._sizes = sizes
        self._modes: dict[str, Mode] = {}
        self._fitting: dict[str, Sizes] = {}

    def plan(self, requests: Sequence[Request], block_ends: Sequence[int] | None = None) -> TriePlan:
        """Tokenise requests and share what is equal (see `LanguageModel.plan`)."""
        return TriePlan(self, requests, block_ends)

    def mode(self, model: nn.Module, windows: Callable[[], Sequence[Window]]) -> Mode:
        """Return how models of this kind are run, found on `windows` where it is not known yet."""
        key = kind_of(model)
        if self._mode is None and key not in self._modes:
            self._modes[key] = exact_mode(model, windows())
        return self._mode or self._modes[key]

    def sizes(self, model: nn.Module) -> Sizes:
        """Return what a forward pass of models of this kind may hold."""
        key = kind_of(model)
        if key not in self._fitting:
            self._fitting[key] = self._sizes or fitting_sizes(
                model, n_vocabulary=self.tokenizer.n_tokens, budget=self._memory
            )
        return self._fitting[key]

    def shrink(self, model: nn.Module) -> None:
        """Halve the sizes for models of this kind, from now on.

        Raises:
            FitnessError: they cannot be halved any more.
        """
        sizes = self._fitting[kind_of(model)]
        if sizes.tokens == sizes.reads == 1:
            raise FitnessError("one token alone does not fit in memory: free some, or use a smaller model")
        self._fitting[kind_of(model)] = sizes.halved()
