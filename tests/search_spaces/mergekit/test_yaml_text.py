"""What a recipe's YAML says twice is never dropped without a word."""

import pytest

from search_spaces.errors import SpaceError
from search_spaces.mergekit.yaml_text import load_documents


def test_a_key_with_two_values_is_an_error_that_names_both_lines() -> None:
    text = "models:\n  - model: a\n    parameters:\n      weight: 0.5\n      density: 0.1\n      weight: 0.9\n"
    with pytest.raises(SpaceError, match=r"weight: expected once, found on lines 4 and 6 with two values"):
        load_documents(text)


def test_the_same_twice_anchors_and_merged_keys_are_as_yaml_says() -> None:
    text = "a: &one {x: 1, y: 2}\nb: {<<: *one, x: 3}\nc: *one\nd: 4\nd: 4\n---\nd: 5\n"
    one = {"x": 1, "y": 2}
    assert load_documents(text) == [{"a": one, "b": {"x": 3, "y": 2}, "c": one, "d": 4}, {"d": 5}]
