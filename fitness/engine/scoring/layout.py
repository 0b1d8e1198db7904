"""How windows are laid out over forward passes: the protocol of the three layouts, and their names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal, Protocol

from fitness.engine.scoring.readout import Reading, Readout

if TYPE_CHECKING:
    from torch import nn

# packed: a trie, every token once. prefix: padded rows after a cached common prefix. plain: padded rows.
Mode = Literal["packed", "prefix", "plain"]


class Layout(Protocol):
    """Windows in blocks, laid out over forward passes; spots are numbered in the order in which they are run."""

    @property
    def readout(self) -> Readout:
        """What is read at which spot."""
        ...

    @property
    def block_ends(self) -> list[int]:
        """Per block, how many spots have run when it is answered."""
        ...

    @property
    def n_tokens(self) -> int:
        """How many tokens one run puts through the model, padding included."""
        ...

    def run(self, model: nn.Module, reading: Reading) -> Iterator[int]:
        """Run everything once, and yield after each forward pass how many spots have run and are recorded.

        Raises:
            torch.OutOfMemoryError: a forward pass does not fit in memory.
        """
        ...
