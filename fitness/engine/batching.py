"""Rows of tokens into padded batches."""

from __future__ import annotations

from collections.abc import Sequence


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
