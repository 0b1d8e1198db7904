"""Work that is shared among threads by blocks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

T = TypeVar("T")
R = TypeVar("R")

# Beginning threads takes as long as some blocks of work.
_FEWEST_A_THREAD = 8


def parallel_map(work: Callable[[T], R], blocks: Sequence[T]) -> list[R]:
    """Return what `work` makes of each block, shared among as many threads as torch uses, if there are many.

    Each of them has one of torch's threads; what torch alone computes is better left to its own.
    """
    n_threads = torch.get_num_threads()
    if n_threads == 1 or len(blocks) < _FEWEST_A_THREAD * n_threads:
        return [work(block) for block in blocks]
    with ThreadPoolExecutor(n_threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        try:
            return list(pool.map(work, blocks))
        finally:
            torch.set_num_threads(n_threads)  # what a thread sets is the default of those that begin later
