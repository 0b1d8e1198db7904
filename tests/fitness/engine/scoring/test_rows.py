from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fitness.engine.scoring.rows import pack

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
