from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evomerge.workers.waiting_threads import Look, look

seconds = st.floats(0, 1e6)


@given(
    others=st.dictionaries(st.sampled_from("abcdef"), st.tuples(seconds, st.floats(0, 4))),
    begun=st.dictionaries(st.sampled_from("xyz"), st.floats(0, 4)),
    ended=st.dictionaries(st.sampled_from("uvw"), seconds),
    length=st.floats(0.01, 10),
)
def test_the_waiting_threads_are_the_time_waited_by_those_that_are_there_over_the_time_passed(
    others: dict[str, tuple[float, float]], begun: dict[str, float], ended: dict[str, float], length: float
):
    before = Look(5.0, {thread: waited for thread, (waited, _) in others.items()} | ended)
    after = Look(5.0 + length, {thread: waited + more for thread, (waited, more) in others.items()} | begun)
    expected = (sum(more for _, more in others.values()) + sum(begun.values())) / length
    assert after.waiting(before) == pytest.approx(expected, abs=1e-6 / length)


def test_every_thread_of_this_process_is_looked_at_and_its_wait_grows():
    first = look()
    over, ready = threading.Event(), threading.Barrier(2)
    other = threading.Thread(target=lambda: (ready.wait(), over.wait()))
    other.start()
    ready.wait()
    second = look()
    over.set()
    other.join()
    assert first is not None
    assert second is not None
    assert str(other.native_id) in second.waited
    assert str(os.getpid()) in second.waited
    assert all(second.waited[thread] >= first.waited[thread] for thread in first.waited.keys() & second.waited.keys())
    assert second.at >= first.at


def test_threads_that_end_or_are_not_counted_are_left_out(tmp_path: Path):
    for thread, text in (("7", "900 2500000000 3"), ("8", "not counted"), ("9", None)):
        (tmp_path / thread).mkdir()
        if text is not None:
            (tmp_path / thread / "schedstat").write_text(text)
    seen = look(tmp_path)
    assert seen is not None
    assert seen.waited == {"7": 2.5}


def test_a_system_without_accounts_is_not_looked_at(tmp_path: Path):
    assert look(tmp_path / "nowhere") is None
    (tmp_path / "1").mkdir()
    assert look(tmp_path) is None
