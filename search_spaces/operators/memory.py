"""What is remembered of the parents' tensors between candidates; it changes nothing but the time."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Protocol

from torch import Tensor

from search_spaces.operators.kernels.counting import Magnitudes, device_of
from search_spaces.operators.kernels.ranks import packed_ranks
from search_spaces.operators.kernels.threshold import Trim, trim_of

Steps = Callable[[int], list[int]]


class Memory(Protocol):
    """Thresholds, ranks and sums of tensors that a key names: equal keys promise equal tensors."""

    def worth_tables(self, key: Hashable, share: float) -> bool:
        """Return whether so many shares of what a key names were asked for, this one too, that a table of all pays."""
        ...

    def trim(self, key: Hashable, magnitudes: Magnitudes, k: int, n: int, *, steps: Steps) -> Trim:
        """Return `threshold.trim_of(magnitudes, n, k)`; `steps` maps n to the k that will be asked for most."""
        ...

    def ranks(self, key: Hashable, magnitudes: Magnitudes, n: int, width: int) -> Tensor:
        """Return `ranks.packed_ranks` of n magnitudes in rows of a width."""
        ...

    def numbers(
        self, key: Hashable, compute: Callable[[], tuple[float, ...]], *, kept: bool = False
    ) -> tuple[float, ...]:
        """Return `compute()`, some sums over tensors; those that are asked for again and again are `kept` on disk."""
        ...


class NoMemory:
    """Computes everything when it is asked for."""

    def worth_tables(self, key: Hashable, share: float) -> bool:  # noqa: ARG002
        """Return False: nothing is kept."""
        return False

    def trim(self, key: Hashable, magnitudes: Magnitudes, k: int, n: int, *, steps: Steps) -> Trim:  # noqa: ARG002
        """Return the threshold; see `Memory`."""
        return trim_of(magnitudes, n, k)

    def ranks(self, key: Hashable, magnitudes: Magnitudes, n: int, width: int) -> Tensor:  # noqa: ARG002
        """Return the ranks; see `Memory`."""
        return packed_ranks(magnitudes, n, width).to(device_of(magnitudes))

    def numbers(
        self,
        key: Hashable,  # noqa: ARG002
        compute: Callable[[], tuple[float, ...]],
        *,
        kept: bool = False,  # noqa: ARG002
    ) -> tuple[float, ...]:
        """Return the sums; see `Memory`."""
        return compute()
