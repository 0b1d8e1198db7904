"""The order of several merges in one file."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_spaces.errors import SpaceError
from search_spaces.mergekit.several import in_order

OUT, BETWEEN = Path("out"), Path("between")


def document(name: str | None, *models: str) -> dict[str, object]:
    entries = [{"model": model} for model in models]
    return {"merge_method": "linear", "models": entries} | ({} if name is None else {"name": name})


@given(st.permutations(range(5)))
def test_parents_come_first_in_whatever_order_the_file_has_them(order: list[int]) -> None:
    documents = [
        document("a", "hub/x"),
        document("b", "a", "hub/y"),
        document("c", "a+hub/lora"),
        document("d", "b@main", "c"),
        document(None, "d", "hub/x"),
    ]
    found = in_order([documents[i] for i in order], OUT, BETWEEN)
    names = [step.name for step in found.steps]
    assert all(names.index(one) < names.index(two) for one, two in ("ab", "ac", "bd", "cd"))
    assert [step.directory for step in found.steps if step.kept] == [OUT]
    assert found.made == {name: BETWEEN / name for name in "abcd"}
    assert names[-1] is None


def test_every_merge_that_none_needs_is_a_result_where_all_have_names() -> None:
    found = in_order([document("a", "x"), document("b", "a"), document("c", "a")], OUT, BETWEEN)
    assert {step.name: step.directory for step in found.steps} == {"a": BETWEEN / "a", "b": OUT / "b", "c": OUT / "c"}


def test_the_last_of_a_chain_is_the_result_though_it_has_a_name() -> None:
    found = in_order([document("a", "x"), document("b", "a")], OUT, BETWEEN)
    assert [(step.name, step.directory) for step in found.steps] == [("a", BETWEEN / "a"), ("b", OUT)]


def test_a_merge_that_nothing_comes_of_is_told_and_not_carried_out() -> None:
    found = in_order([document("a", "x"), document("b", "x"), document(None, "a")], OUT, BETWEEN)
    assert [step.name for step in found.steps] == ["a", None]
    assert found.remarks == ("name: no other document names 'b' as a model; it is not carried out",)


def test_a_name_that_is_also_a_word_of_the_format_is_no_reference() -> None:
    documents = [document("linear", "x"), document("float32", "y"), document(None, "linear")]
    documents[2] |= {"dtype": "float32"}
    assert [step.name for step in in_order(documents, OUT, BETWEEN).steps] == ["linear", None]


@pytest.mark.parametrize(
    ("documents", "message"),
    [
        ([document("a", "b"), document("b", "a")], "found a circle: a needs b needs a"),
        ([document("a", "a"), document(None, "a")], "found a circle: a needs a"),
        (
            [document(None, "x"), document(None, "y")],
            "name: expected one in each document but the last, found 2 .* of 2",
        ),
        ([document("a", "x"), document("a", "y")], "name: expected another one for each document, found 'a' twice"),
        ([document("../a", "x"), document(None, "y")], "document 1: name: expected one that a directory can have"),
        (["text", document(None, "y")], "document 1: expected keys and values, found 'text'"),
    ],
)
def test_what_cannot_be_ordered_is_refused(documents: list[object], message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        in_order(documents, OUT, BETWEEN)
