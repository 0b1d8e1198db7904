from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fitness.engine.batching import pack, run_in_halves
from fitness.errors import FitnessError

rows = st.lists(st.tuples(st.integers(1, 50), st.integers(1, 50)), max_size=40)


@given(costs=rows, tokens=st.integers(1, 200), positions=st.integers(1, 100))
def test_batches_hold_every_row_once_in_order_and_keep_to_both_budgets(costs, tokens, positions):
    batches = pack(costs, token_budget=tokens, position_budget=positions)
    assert [row for batch in batches for row in batch] == list(range(len(costs)))
    for batch in batches:
        padded = len(batch) * max(costs[row][0] for row in batch)
        scored = sum(costs[row][1] for row in batch)
        assert len(batch) == 1 or (padded <= tokens and scored <= positions)


@given(costs=rows, tokens=st.integers(1, 200))
def test_a_batch_ends_only_where_the_next_row_would_break_the_budget(costs, tokens):
    for batch, after in zip(
        (batches := pack(costs, token_budget=tokens, position_budget=10**9)), batches[1:], strict=False
    ):
        longest = max(costs[row][0] for row in [*batch, after[0]])
        assert longest * (len(batch) + 1) > tokens


def test_a_batch_that_does_not_fit_is_halved_and_stays_so():
    calls: list[int] = []

    def run(batch: list[int]) -> list[int]:
        calls.append(len(batch))
        if len(batch) > 2:
            raise torch.OutOfMemoryError
        return [2 * row for row in batch]

    batches = [[0, 1, 2, 3, 4], [5]]
    assert run_in_halves(batches, run) == [0, 2, 4, 6, 8, 10]
    assert calls == [5, 2, 3, 1, 2, 1]
    calls.clear()
    assert run_in_halves(batches, run) == [0, 2, 4, 6, 8, 10]
    assert calls == [2, 1, 2, 1]


def test_one_row_that_does_not_fit_is_an_error():
    def run(batch: list[int]) -> list[int]:
        raise torch.OutOfMemoryError

    with pytest.raises(FitnessError, match="one request alone"):
        run_in_halves([[1, 2]], run)
