from __future__ import annotations

import threading

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from evomerge.workers.sharing import Manners, sharing_cores
from evomerge.workers.threads import available_cores


def watchers() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "evomerge-sharing"]


@pytest.fixture(autouse=True)
def nothing_said(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OMP_NUM_THREADS", "GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.delenv(name, raising=False)


def rests(waiting: list[float]) -> list[bool]:
    """Return after each look whether threads sleep."""
    manners, found = Manners(), []
    for threads in waiting:
        manners = manners.after(threads)
        found.append(manners.rest > 0)
    return found


@given(waiting=st.lists(st.floats(0, 0.35), max_size=50))
def test_threads_spin_as_long_as_each_has_a_cpu(waiting: list[float]):
    assert not any(rests(waiting))


@given(waiting=st.lists(st.floats(0.36, 100), min_size=1, max_size=300))
def test_threads_among_others_sleep_and_try_again_ever_more_rarely(waiting: list[float]):
    # Asleep 8 looks, a trial of one, asleep 16 and from then on 32 looks at a time.
    pattern = [length for rest in (8, 16) for length in (True,) * rest + (False,)]
    while len(pattern) < len(waiting):
        pattern += (True,) * 32 + (False,)
    assert rests(waiting) == pattern[: len(waiting)]


@given(before=st.lists(st.floats(0, 8), max_size=100))
def test_threads_spin_at_once_where_nobody_is_any_more(before: list[float]):
    assert rests([*before, 0.0])[-1] is False


@given(before=st.lists(st.floats(0, 8), max_size=100), waiting=st.floats(0.0, 0.35))
def test_threads_that_are_given_cpus_after_all_spin_again_in_the_end(before: list[float], waiting: float):
    """As beside work of low priority: asleep they wait for it, spinning they hardly do."""
    manners = Manners()
    for threads in before:
        manners = manners.after(threads)
    for _ in range(32):
        manners = manners.after(0.5 if manners.rest else waiting)
    assert not manners.rest


def test_the_number_of_threads_is_what_it_was_afterwards_also_after_an_error():
    @sharing_cores(cpus=2)
    def fail() -> None:
        raise ZeroDivisionError(torch.get_num_threads())

    torch.set_num_threads(3)
    with pytest.raises(ZeroDivisionError, match="2"):
        fail()
    assert torch.get_num_threads() == 3


def test_more_threads_than_cores_are_not_used_unless_somebody_says_so(monkeypatch: pytest.MonkeyPatch):
    many = available_cores() + 3
    torch.set_num_threads(many)
    with sharing_cores():
        assert torch.get_num_threads() == available_cores()
        with sharing_cores(count=many):
            assert torch.get_num_threads() == 1
    monkeypatch.setenv("OMP_NUM_THREADS", str(many))
    with sharing_cores():
        assert torch.get_num_threads() == many


def test_one_watcher_looks_for_all_until_the_last_is_done():
    with sharing_cores(cpus=2):
        with sharing_cores(cpus=2), sharing_cores(cpus=1):
            assert len(watchers()) == 1
        assert len(watchers()) == 1
    assert watchers() == []
    with sharing_cores(cpus=2):
        assert len(watchers()) == 1
    assert watchers() == []


@pytest.mark.parametrize("variable", ["GOMP_SPINCOUNT", "OMP_WAIT_POLICY"])
def test_nobody_watches_for_one_thread_or_where_the_user_has_said_how_threads_wait(
    monkeypatch: pytest.MonkeyPatch, variable: str
):
    with sharing_cores(cpus=1):
        assert watchers() == []
    monkeypatch.setenv(variable, "PASSIVE" if variable == "OMP_WAIT_POLICY" else "100")
    with sharing_cores(cpus=2):
        assert watchers() == []
