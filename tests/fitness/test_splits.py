from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from fitness.errors import FitnessError
from fitness.scores import SPLITS, Budget
from fitness.splits import Splits

SHARES = {"search": 0.5, "validation": 0.2, "test": 0.3}
TASKS = {"a": [str(i) for i in range(100)], "b": [f"x/{i}" for i in range(10)], "c": [str(i) for i in range(37)]}


def draw(tasks=TASKS, shares=SHARES, seed=0) -> Splits:
    return Splits.draw(tasks, shares=shares, seed=seed)


def test_every_item_is_in_one_split_by_the_shares_of_its_task():
    splits = draw()
    assert sorted(splits.item_ids) == sorted(f"{task}/{item}" for task, items in TASKS.items() for item in items)
    counts = {split: Counter(item.split("/")[0] for item in splits.items[split]) for split in SPLITS}
    assert counts["search"] == {"a": 50, "b": 5, "c": 19}
    assert counts["validation"] == {"a": 20, "b": 2, "c": 7}
    assert counts["test"] == {"a": 30, "b": 3, "c": 11}


@given(
    sizes=st.lists(st.integers(1, 60), min_size=1, max_size=4),
    raw=st.tuples(*[st.floats(0, 1)] * 3),
    left_out=st.floats(0, 1),
    seed=st.integers(0, 2**32),
)
def test_splits_are_disjoint_and_within_one_item_of_their_shares(sizes, raw, left_out, seed):
    total = sum(raw) + left_out
    assume(sum(raw) > 0.01)
    shares = {split: share / total for split, share in zip(SPLITS, raw, strict=True)}
    tasks = {f"t{i}": [str(j) for j in range(n)] for i, n in enumerate(sizes)}
    wanted = [split for split in SPLITS if shares[split] > 0]
    if min(sizes) < len(wanted):
        with pytest.raises(FitnessError, match="one per split"):
            draw(tasks, shares, seed)
        return
    splits = draw(tasks, shares, seed)
    assert len(set(splits.item_ids)) == len(splits.item_ids)
    for task, ids in tasks.items():
        for split in SPLITS:
            size = sum(item.startswith(f"{task}/") for item in splits.items[split])
            assert size >= (split in wanted)
            # Small shares are rounded up to one item; their splits' fellows pay for it.
            assert abs(size - shares[split] * len(ids)) <= len(wanted)


def test_a_split_depends_on_the_seed_and_the_task_only():
    splits = draw()
    assert draw(dict(reversed(TASKS.items()))) == splits
    assert draw(seed=1) != splits
    alone = draw({"b": TASKS["b"]})
    for split in SPLITS:
        assert set(alone.items[split]) == {item for item in splits.items[split] if item.startswith("b/")}


def test_tasks_with_the_same_items_are_split_differently():
    splits = draw({"a": TASKS["a"], "d": TASKS["a"]})
    parts = [{item[2:] for item in splits.items["test"] if item.startswith(task)} for task in "ad"]
    assert parts[0] != parts[1]


def test_any_first_part_of_a_split_holds_every_tasks_share_to_within_one_item():
    items = draw().items["search"]
    share = {task: n / len(items) for task, n in Counter(item[0] for item in items).items()}
    for n in range(len(items) + 1):
        counts = Counter(item[0] for item in items[:n])
        assert all(abs(counts[task] - n * share[task]) < 2 for task in share)


def test_items_within_a_split_are_shuffled():
    a = [int(item[2:]) for item in draw().items["search"] if item.startswith("a/")]
    assert a != sorted(a)


def test_a_split_without_a_share_is_empty_and_cannot_be_asked_for():
    splits = draw(shares={"search": 1.0})
    assert splits.items["test"] == ()
    with pytest.raises(FitnessError, match="expected items of split 'test', found none"):
        splits.select(Budget("test"))


def test_a_test_item_cannot_enter_a_search_budget():
    splits = draw()
    item = splits.items["test"][0]
    with pytest.raises(FitnessError, match=f"items of split 'search', found '{item}', one of split 'test'"):
        splits.select(Budget("search", (splits.items["search"][0], item)))


def test_a_budgets_own_order_is_kept():
    splits = draw()
    wanted = splits.items["test"][5:2:-1]
    assert splits.select(Budget("test", wanted)) == wanted
    assert splits.select(Budget("test")) == splits.items["test"]


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        ({"search": 0.8, "test": 0.3}, "at most 1, found 1.1"),
        ({"search": 0.0}, "at most 1, found 0"),
        ({"search": -0.1}, "splits.search: expected a share from 0 to 1"),
        ({"search": float("nan")}, "splits.search: expected a share from 0 to 1"),
        ({"train": 0.5}, "found 'train'"),
    ],
)
def test_shares_that_make_no_sense_are_refused(shares, message):
    with pytest.raises(FitnessError, match=message):
        draw(shares=shares)


def test_a_task_with_too_few_items_is_named():
    with pytest.raises(FitnessError, match=r"task 'tiny': expected at least 3 items.*found 2"):
        draw({"tiny": ["1", "2"], "a": TASKS["a"]})


def test_the_split_of_items_is_one_or_an_error():
    splits = draw()
    assert splits.split_of(splits.items["validation"][:3]) == "validation"
    for items in ((splits.items["search"][0], splits.items["test"][0]), ("unknown",), ()):
        with pytest.raises(FitnessError, match="all from one split"):
            splits.split_of(items)


def test_a_hand_made_split_lists_no_item_twice():
    with pytest.raises(FitnessError, match="twice"):
        Splits({"search": ("a/1",), "test": ("a/1",)})
