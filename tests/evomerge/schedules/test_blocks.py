"""Blocks of items: balanced, with every task in each, and each block a function of its number alone."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from evomerge.schedules.blocks import Blocks, shares

SIZES = st.lists(st.integers(1, 30), min_size=1, max_size=4)


def items_of(sizes: list[int]) -> dict[str, str]:
    """Return items of as many tasks -> their task, the tasks alternating."""
    pairs = sorted((i, f"t{task}") for task, n in enumerate(sizes) for i in range(n))
    return {f"{task}/{i}": task for i, task in pairs}


@given(sizes=SIZES, data=st.data())
@settings(deadline=None)
def test_every_item_is_dealt_as_often_as_every_other_of_its_task_up_to_one(
    sizes: list[int], data: st.DataObject
) -> None:
    task_of = items_of(sizes)
    size = data.draw(st.integers(len(sizes), len(task_of)))
    blocks = Blocks(list(task_of), task_of, size, seed=data.draw(st.integers(0, 9)), name="own items")
    dealt: Counter[str] = Counter()
    for index in range(data.draw(st.integers(1, 25))):
        block = blocks.of(index)
        assert len(set(block)) == len(block) == size
        assert list(block) == [item for item in task_of if item in set(block)]
        assert {task_of[item] for item in block} == set(task_of.values())
        dealt.update(block)
    for task in set(task_of.values()):
        often = [dealt[item] for item in task_of if task_of[item] == task]
        assert max(often) - min(often) <= 1


@given(sizes=SIZES, data=st.data())
@settings(deadline=None)
def test_a_block_does_not_depend_on_those_that_were_asked_before(sizes: list[int], data: st.DataObject) -> None:
    task_of = items_of(sizes)
    size = data.draw(st.integers(len(sizes), len(task_of)))
    one, other = (Blocks(list(task_of), task_of, size, seed=1, name="own items") for _ in range(2))
    expected = [one.of(index) for index in range(12)]
    for index in data.draw(st.permutations(range(12))):
        assert other.of(index) == expected[index]


@given(sizes=st.lists(st.integers(1, 300), min_size=1, max_size=6), data=st.data())
def test_tasks_have_their_share_at_least_one_item_and_no_more_than_they_have(
    sizes: list[int], data: st.DataObject
) -> None:
    by_task = {f"t{i}": n for i, n in enumerate(sizes)}
    total = data.draw(st.integers(len(sizes), sum(sizes)))
    found = shares(by_task, total)
    assert sum(found.values()) == total
    assert all(1 <= found[task] <= n for task, n in by_task.items())
    exact = {task: total * n / sum(sizes) for task, n in by_task.items()}
    if min(exact.values()) >= 1.0:
        assert all(abs(found[task] - exact[task]) < 1.0 for task in by_task)


def test_the_seed_and_the_name_deal_otherwise() -> None:
    task_of = items_of([40])
    first = [Blocks(list(task_of), task_of, 8, seed=s, name=n).of(0) for s, n in ((0, "a"), (1, "a"), (0, "b"))]
    assert len(set(first)) == 3


def test_items_are_compared_nearly_as_surely_as_by_a_balanced_incomplete_block_design() -> None:
    # Efficiency of block designs: harmonic mean of the eigenvalues of I - N N' / (r k), N the incidences, where all
    # items stand in r blocks of k; balanced designs reach N_all (k - 1) / (k (N_all - 1)), the most there is.
    n_all, k, n_blocks = 60, 12, 40
    task_of = items_of([n_all])
    blocks = Blocks(list(task_of), task_of, k, seed=0, name="own items")
    place = {item: i for i, item in enumerate(task_of)}
    incidence = np.zeros((n_all, n_blocks))
    for b in range(n_blocks):
        incidence[[place[item] for item in blocks.of(b)], b] = 1.0
    r = n_blocks * k / n_all
    assert (incidence.sum(axis=1) == r).all()
    eigenvalues = np.linalg.eigvalsh(np.eye(n_all) - incidence @ incidence.T / (r * k))[1:]
    efficiency = (n_all - 1) / np.sum(1.0 / eigenvalues)
    best = n_all * (k - 1) / (k * (n_all - 1))
    assert 0.98 * best < efficiency <= best + 1e-12
