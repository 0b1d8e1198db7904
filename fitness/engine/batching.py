"""Rows of tokens into padded batches, and the retry when a batch does not fit in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch

from fitness.errors import FitnessError

R = TypeVar("R")
T = TypeVar("T")


def pack(costs: Sequence[tuple[int, int]], *, token_budget: int, position_budget: int) -> list[range]:
    """Cut a sequence of rows into consecutive batches.

    Args:
        costs: per row, its length in tokens and its number of scored positions; longest rows first.
        token_budget: most tokens of a batch, padding included.
        position_budget: most scored positions of a batch (each yields one row of logits).

    Returns:
        Ranges of rows, in order; a row that is over a budget alone is a batch of its own.
    """
    batches: list[range] = []
    start, positions, longest = 0, 0, 0
    for row, (length, scored) in enumerate(costs):
        n_rows = row - start + 1
        too_many = max(longest, length) * n_rows > token_budget or positions + scored > position_budget
        if too_many and n_rows > 1:
            batches.append(range(start, row))
            start, positions, longest = row, 0, 0
        positions += scored
        longest = max(longest, length)
    if costs:
        batches.append(range(start, len(costs)))
    return batches


def run_in_halves(batches: list[Sequence[R]], run: Callable[[Sequence[R]], Sequence[T]]) -> list[T]:
    """Run each batch; where the accelerator's memory does not suffice, cut that batch in half and try again.

    `batches` is updated in place, so the next candidate starts with sizes that fit.

    Raises:
        FitnessError: one row alone does not fit.
    """
    results: list[T] = []
    i = 0
    while i < len(batches):
        batch = batches[i]
        try:
            results.extend(run(batch))
        except torch.OutOfMemoryError as error:
            if len(batch) == 1:
                raise FitnessError(
                    "one request alone does not fit in the accelerator's memory: use shorter items or more memory"
                ) from error
            middle = len(batch) // 2
            batches[i : i + 1] = [batch[:middle], batch[middle:]]
        else:
            i += 1
            continue
        torch.cuda.empty_cache()  # outside the handler: its traceback would keep the failed batch's tensors alive
    return results
