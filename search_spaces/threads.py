"""Threads that share work in which each computes by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

T = TypeVar("T")
R = TypeVar("R")

# Beginning threads takes as long as some blocks of work.
_FEWEST_A_THREAD = 8


@contextmanager
def separate_threads() -> Iterator[ThreadPoolExecutor]:
    """Give a pool of as many threads as torch uses here; in each of them it uses one."""
    n_threads = torch.get_num_threads()
    with ThreadPoolExecutor(n_threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        try:
            yield pool
        finally:
            torch.set_num_threads(n_threads)  # what a thread sets is the default of those that begin later


def shared(work: Callable[[T], R], blocks: Sequence[T]) -> list[R]:
    """Return what `work` makes of each block, shared among as many threads as torch uses, if there are many."""
    n_threads = torch.get_num_threads()
    if n_threads == 1 or len(blocks) < _FEWEST_A_THREAD * n_threads:
        return [work(block) for block in blocks]
    with separate_threads() as pool:
        return list(pool.map(work, blocks))
