"""What a plan runs, counted."""

from __future__ import annotations

from dataclasses import dataclass

from fitness.engine.layout import Mode


@dataclass(frozen=True)
class LayerCounts:
    """Executions of layers, one for each layer of each forward pass.

    Attributes:
        asked: by models that run one by one.
        run: when what they have in common runs once.
    """

    asked: int = 0
    run: int = 0

    def __add__(self, other: LayerCounts) -> LayerCounts:
        """Return both together."""
        return LayerCounts(self.asked + other.asked, self.run + other.run)


@dataclass(frozen=True)
class PlanStatistics:
    """What a plan runs.

    Attributes:
        mode: how it is run; None before the first model has answered.
        n_requests: requests, equal ones counted once.
        plain_tokens: tokens of all their sequences, each on its own and without padding.
        trie_tokens: nodes of their trie.
        run_tokens: tokens that go through the model, padding included; None before the first model has answered.
        layers: executions of layers by models that have answered together, over all calls.
    """

    mode: Mode | None
    n_requests: int
    plain_tokens: int
    trie_tokens: int
    run_tokens: int | None
    layers: LayerCounts
