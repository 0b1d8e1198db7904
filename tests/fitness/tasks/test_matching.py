"""When a written answer is right: matches, numbers, letters, normal forms."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fitness.errors import FitnessError
from fitness.tasks.matching import REGEX_SECONDS, STEPS, check_pattern, is_right, letter_in, normalised, number_in

WORDS = st.text("abcdefghij", min_size=1, max_size=8)


@given(st.integers(-(10**9), 10**9), WORDS, WORDS)
def test_a_number_is_found_however_it_is_written(number: int, before: str, after: str) -> None:
    for written in (f"{number}", f"{number:,}", f"{number}.0", f"{number:,}.00"):
        assert is_right("number", f"{before} 7 {written}. {after}", [str(number)])
        assert is_right("number", f"{before} = {written}", [f"because {number - 1} + 1 = #### {number}"])
    assert not is_right("number", f"{before} {number} then {number + 1}", [str(number)])


@pytest.mark.parametrize(
    ("text", "number"),
    [("$1,234.50 in all", "1234.50"), ("3-5 apples", "5"), ("1e3", "1000"), ("-7", "-7"), ("at 10%.", "10")],
)
def test_numbers_as_people_write_them(text: str, number: str) -> None:
    assert is_right("number", text, [number])


def test_words_with_digits_are_no_numbers() -> None:
    assert number_in("gpt4o and x2") is None


@given(WORDS, WORDS, WORDS)
def test_contained_are_whole_words(before: str, word: str, after: str) -> None:
    assert is_right("contains", f"{before} {word}, {after}", [word])
    assert not is_right("contains", f"{before}x{word}x{after}", [word])


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("B", "B"),
        (" (B) because A is wrong", "B"),
        ("A. it is red", "A"),
        ("The answer is **B**.", "B"),
        ("Answer: B\nA would be wrong", "B"),
        ("A dog is blue", "B"),
        ("red or blue", None),
        ("I do not know", None),
        ("", None),
    ],
)
def test_the_letter_is_what_is_named_as_answer_then_what_stands_alone_then_the_words(text: str, letter: str) -> None:
    assert letter_in(text, ["red", "blue"]) == letter


@given(st.text(max_size=60), st.lists(st.sampled_from(sorted(STEPS)), max_size=5))
def test_a_normal_form_stays_as_it_is_and_one_without_steps_is_the_text(text: str, steps: list[str]) -> None:
    assert normalised(text, []) == text
    once = normalised(text, ["case", "punctuation", "whitespace"])
    assert normalised(once, ["punctuation", "whitespace"]) == once
    assert isinstance(normalised(text, steps), str)  # type: ignore[arg-type]


@given(st.text(max_size=40), st.text(max_size=40))
def test_an_exact_match_is_equality_but_for_space_around(completion: str, answer: str) -> None:
    assert is_right("exact", completion, [answer]) == (completion.strip() == answer.strip())
    assert is_right("exact", f"\n {answer}\t", ["something else", answer])


def test_a_pattern_is_searched_for_and_one_that_never_ends_is_wrong_in_time() -> None:
    assert is_right("regex", "It is Paris.", [r"\bparis\b", r"(?i)\bparis\b"])
    assert not is_right("regex", "a" * 5000 + "!", [r"(a|aa)+$"])
    assert REGEX_SECONDS <= 1.0
    with pytest.raises(FitnessError, match="expected a regular expression, found '\\('"):
        check_pattern("(")
