from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.benchmarks.busy import busy_processes, fair_slowdown, timed


@given(busy=st.integers(0, 8), threads=st.integers(1, 8), cores=st.integers(1, 8))
def test_threads_with_equal_shares_are_as_much_slower_as_their_share_is_smaller(busy: int, threads: int, cores: int):
    """By dealing time out in turns: each runnable thread has one CPU at a time."""
    alone = Fraction(min(threads, cores), threads)
    share = Fraction(min(threads + busy, cores), threads + busy)
    assert fair_slowdown(busy, threads, cores) == pytest.approx(float(alone / share))


def children() -> set[str]:
    return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text(encoding="ascii").split())


def test_busy_processes_are_gone_afterwards():
    before = children()
    with busy_processes(2):
        assert len(children() - before) == 2
    assert children() <= before


def test_work_is_done_at_least_once():
    done: list[int] = []
    assert len(timed(lambda: done.append(1), 0.0)) == len(done) == 1
