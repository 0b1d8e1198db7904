from __future__ import annotations

import hashlib
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fitness.errors import FitnessError
from fitness.scores import Budget
from fitness.splits import Splits

SHARES = {"search": 0.5, "validation": 0.2, "test": 0.3}


def asking(name: str, n: int) -> dict[str, str]:
    """Items of a task: id -> what it asks."""
    return {f"x/{i}": f"{name} {i}?" for i in range(n)}


TASKS = {"a": asking("a", 1000), "b": asking("b", 100), "c": asking("c", 370)}


def draw(tasks=TASKS, shares=SHARES, seed=0) -> Splits:
    return Splits.draw(tasks, shares=shares, seed=seed)


def by_content(splits: Splits, tasks) -> dict[str, set[str]]:
    """Every content and the splits that it is in; what is left out is in "none"."""
    split_of = {item: split for split in SHARES for item in splits.items[split]}
    found: dict[str, set[str]] = {}
    for task, contents in tasks.items():
        for item, content in contents.items():
            found.setdefault(content, set()).add(split_of.get(f"{task}/{item}", "none"))
    return found


def test_every_item_is_in_one_split_and_as_many_as_independent_draws_give():
    splits = draw()
    assert sorted(splits.item_ids) == sorted(f"{task}/{item}" for task, items in TASKS.items() for item in items)
    for split, share in SHARES.items():
        counts = Counter(item.split("/")[0] for item in splits.items[split])
        for task, items in TASKS.items():
            n = len(items)
            assert abs(counts[task] - n * share) < 4 * (n * share * (1 - share)) ** 0.5


names = st.sampled_from("abc")
FILLING = {f"filling {i}": f"filling {i}" for i in range(100)}  # so that no split of any task is empty


@given(
    contents=st.lists(st.text(max_size=4), min_size=1, max_size=30, unique=True),
    places=st.lists(st.tuples(names, names), min_size=30, max_size=30),
    added=st.text(min_size=5),
    raw=st.tuples(*[st.floats(0.3, 1)] * 3),
    seed=st.integers(0, 2**64),
)
def test_a_split_depends_on_content_and_seed_alone_and_an_added_item_moves_nothing(contents, places, added, raw, seed):
    """The same items in other tasks, under other ids, in another order and with another beside them."""
    shares = {split: share / (sum(raw) + 0.1) for split, share in zip(SHARES, raw, strict=True)}
    one = {"one": {str(i): content for i, content in enumerate(contents)}}
    other: dict[str, dict[str, str]] = {}
    for i, (content, (task, name)) in enumerate(zip(reversed(contents), places, strict=False)):
        other.setdefault(task, {})[f"{name}{i}"] = content
    other.setdefault("new", {})["added"] = added
    other.setdefault("copy", {}).update({f"{i}": content for i, content in enumerate(contents)})
    filled = ({task: contents | FILLING for task, contents in tasks.items()} for tasks in (one, other))
    before, after = (by_content(draw(tasks, shares, seed), tasks) for tasks in filled)
    assert all(len(splits) == 1 for splits in after.values())
    assert {content: after[content] for content in [*contents, *FILLING]} == before


def test_another_seed_draws_other_splits_and_other_shares_keep_what_they_can():
    assert by_content(draw(seed=1), TASKS) != by_content(draw(), TASKS)
    fewer = draw(shares={"search": 0.4})
    assert set(fewer.items["search"]) < set(draw().items["search"])


def test_items_of_the_first_rule_are_split_by_exact_shares_as_in_the_version_that_began_with_it():
    """The digest is that of `Splits.draw` in evomerge at f40db60."""
    tasks = {"a": [str(i) for i in range(100)], "b": [f"x/{i}" for i in range(10)], "c:acc": list(map(str, range(37)))}
    splits = Splits.draw_by_place(tasks, shares=SHARES, seed=3)
    assert [len(splits.items[split]) for split in SHARES] == [74, 29, 44]
    assert hashlib.sha256(repr(dict(splits.items)).encode()).hexdigest()[:16] == "52246a6b0b3465ea"


def test_any_first_part_of_a_split_holds_every_tasks_share_to_within_one_item():
    items = draw().items["search"]
    share = {task: n / len(items) for task, n in Counter(item[0] for item in items).items()}
    for n in range(len(items) + 1):
        counts = Counter(item[0] for item in items[:n])
        assert all(abs(counts[task] - n * share[task]) < 2 for task in share)


def test_items_within_a_split_are_shuffled():
    a = [int(item.split("/")[2]) for item in draw().items["search"] if item.startswith("a/")]
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


def test_a_task_without_an_item_in_a_split_is_named():
    with pytest.raises(FitnessError, match=r"task 'tiny': expected an item in each .*found none of its 2 items in"):
        draw({"tiny": asking("tiny", 2), "a": TASKS["a"]})
    with pytest.raises(FitnessError, match=r"task 'tiny': expected at least 3 items.*found 2"):
        Splits.draw_by_place({"tiny": ["1", "2"]}, shares=SHARES, seed=0)


def test_the_split_of_items_is_one_or_an_error():
    splits = draw()
    assert splits.split_of(splits.items["validation"][:3]) == "validation"
    for items in ((splits.items["search"][0], splits.items["test"][0]), ("unknown",), ()):
        with pytest.raises(FitnessError, match="all from one split"):
            splits.split_of(items)


def test_a_hand_made_split_lists_no_item_twice():
    with pytest.raises(FitnessError, match="twice"):
        Splits({"search": ("a/1",), "test": ("a/1",)})
