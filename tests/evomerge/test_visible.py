"""Characters that steer terminals are written out."""

from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from evomerge.visible import visible, visible_data

# Independent of the pattern: Unicode's own lists of controls, separators and marks of direction.
BIDI = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
TEXTS = st.text(st.characters(codec=None) | st.sampled_from("\x1b\x07\x9b\u202e\u2066\ud800\u2028\x7f[]"))


def steers(letter: str) -> bool:
    return letter not in "\n\t" and (
        unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp") or unicodedata.bidirectional(letter) in BIDI
    )


@given(TEXTS)
def test_nothing_that_steers_is_left(text: str) -> None:
    shown = visible(text)
    shown.encode()
    assert not any(map(steers, shown))
    assert visible(shown) == shown


@given(st.text(st.characters(exclude_categories=["C", "Z"])))
def test_ordinary_text_stays(text: str) -> None:
    assert visible(text) == text


def test_python_reads_the_same_characters_back() -> None:
    text = "a\x1b[2J\x9b\u202e\U000e0041\ud800"
    assert visible(text).encode("ascii").decode("unicode_escape") == text


def test_data_are_shown_to_their_leaves_and_keys() -> None:
    data = {"a\x1b": ["\x07", 1.5, None, {"b": ("\u202e",)}]}
    assert visible_data(data) == {"a\\x1b": ["\\x07", 1.5, None, {"b": ["\\u202e"]}]}
