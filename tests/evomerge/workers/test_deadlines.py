"""Deadlines follow what candidates with as many items took before."""

from __future__ import annotations

import math
from statistics import median

from hypothesis import given
from hypothesis import strategies as st

from evomerge.workers.deadlines import LEAST_S, Deadlines
from fitness.scores import Budget

ALL, TEN = Budget("search"), Budget("search", tuple(f"t/{i}" for i in range(10)))


@given(st.lists(st.floats(0.01, 1e5), min_size=5, max_size=30))
def test_later_candidates_have_ten_times_the_median_and_a_minute_at_least(took: list[float]) -> None:
    deadlines = Deadlines(3600.0, 10.0)
    for seconds in took[:4]:
        deadlines.note(ALL, seconds)
        assert deadlines.seconds(ALL) == 3600.0
    for seconds in took[4:]:
        deadlines.note(ALL, seconds)
    assert deadlines.seconds(ALL) == max(LEAST_S, 10 * median(took))


def test_candidates_with_other_items_say_nothing_of_these() -> None:
    deadlines = Deadlines(3600.0, 10.0)
    for _ in range(9):
        deadlines.note(TEN, 10.0)
    assert deadlines.seconds(TEN) == 100.0
    assert deadlines.seconds(ALL) == 3600.0


def test_without_a_multiple_or_without_a_limit_nothing_is_learnt() -> None:
    for deadlines, expected in ((Deadlines(900.0, None), 900.0), (Deadlines(math.inf, 10.0), math.inf)):
        for _ in range(9):
            deadlines.note(ALL, 1.0)
        assert deadlines.seconds(ALL) == expected
