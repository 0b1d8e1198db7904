"""How models of a kind are run, and in what sizes: found on the first of them, and kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import nn

from fitness.engine.model.forward import kind_of
from fitness.engine.model.memory import Sizes, fitting_sizes
from fitness.engine.scoring.layout import Mode
from fitness.engine.scoring.probe import exact_mode
from fitness.engine.scoring.windows import Window
from fitness.errors import FitnessError


class Sizing:
    """The mode and the sizes of every kind of model that was met.

    Args:
        n_tokens: tokens of the models' vocabulary.
        memory: bytes that a forward pass may take above the model's own.
        mode: how to run; None = the fastest that is exact.
        sizes: what a forward pass may hold; None = what is fast and fits in `memory`.
    """

    def __init__(self, n_tokens: int, memory: int, mode: Mode | None = None, sizes: Sizes | None = None) -> None:
        if memory < 2**20:
            raise FitnessError(f"memory: expected at least 1 MiB, found {memory} bytes")
        self._n_tokens, self._memory = n_tokens, memory
        self._mode = mode
        self._sizes = sizes
        self._modes: dict[str, Mode] = {}
        self._fitting: dict[str, Sizes] = {}

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
            self._fitting[key] = self._sizes or fitting_sizes(model, n_vocabulary=self._n_tokens, budget=self._memory)
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
