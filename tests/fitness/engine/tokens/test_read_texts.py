"""Texts tokenised in pieces and batches have the ids that they have one by one."""

from __future__ import annotations

from contextlib import suppress
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fitness.engine.model.tokenizer import Tokenizer
from fitness.engine.tokens.cuts import can_be_cut
from fitness.engine.tokens.read_texts import ReadTexts
from fitness.errors import FitnessError
from tests.fitness.engine.kinds_of_tokenizers import CUT, KINDS

PARTS = [
    *("Question", ": ", "what's", " the", "\n", "\n\n", "\r\n", "\n ", "\t\n", "A", "a", "B. ", "12", "345", " 6"),
    *(
        "'",
        "'s",
        "...",
        " -",
        "  ",
        "</s>",
        "<s>",
        "é",
        "e\u0301",
        "ß",
        "東京",
        "🙂",
        "\u2028",
        "\xa0",
        "Answer",
        "s",
        "S",
    ),
]
texts = st.lists(st.sampled_from(PARTS), max_size=14).map("".join) | st.text(
    st.sampled_from("\n\r\t aAbz09.'’é\u0301\u00a0<>|/"), max_size=20
)


@cache
def kind(name: str):
    return KINDS[name]()


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("special", [{}, {"add_special_tokens": True}, {"add_special_tokens": False}], ids=str)
@given(asked=st.lists(st.tuples(texts, st.booleans()), max_size=6), unread=texts)
@settings(max_examples=60, deadline=None)
def test_ids_are_those_of_each_text_alone(name, special, asked, unread):
    tokenizer = kind(name)
    read = ReadTexts(tokenizer, special)
    read.read(asked[:3])
    read.read(asked)
    for text, plain in [*asked, (unread, True), (unread, False)]:
        expected = tokenizer.encode(text, **({"add_special_tokens": False} if plain else special))
        assert read(text, plain) == expected


@pytest.mark.parametrize("name", KINDS)
def test_which_tokenizers_are_known_to_give_pieces_the_tokens_of_the_whole(name):
    assert can_be_cut(kind(name)) == (name in CUT)


@pytest.mark.parametrize("name", CUT)
def test_a_header_that_texts_share_is_tokenised_once(name, monkeypatch):
    tokenizer = kind(name)
    header = "".join(f"Question {i}\nAnswer {i}\n" for i in range(20))
    asked = [(f"{header}Question: {i}?\nAnswer: {end}", False) for i in range(40) for end in ("one", "two", "")]
    read, tokenised = ReadTexts(tokenizer, {}), []
    call = type(tokenizer).__call__

    def counted(self, texts, **arguments):
        tokenised.extend([texts] if isinstance(texts, str) else texts)
        return call(self, texts, **arguments)

    monkeypatch.setattr(type(tokenizer), "__call__", counted)
    read.read(asked)
    for text, plain in asked:
        read(text, plain)
    # Its own lines, each question's, and the ends; texts on which pieces are tried are `encode`d.
    assert len(tokenised) == 40 + 40 + 3
    monkeypatch.undo()
    assert all(read(text, plain) == tokenizer.encode(text) for text, plain in asked)


@pytest.mark.parametrize("name", KINDS)
@given(context=texts, continuation=texts)
@settings(max_examples=40, deadline=None)
def test_what_a_pair_of_texts_needs_is_all_that_its_ids_are_made_of(name, context, continuation):
    tokenizer = Tokenizer(kind(name), max_length=64, end_ids=frozenset())
    needed = dict.fromkeys(tokenizer.texts_of_pair(context, continuation))
    asked = []

    def looked_up(text, plain):
        asked.append((text, plain))
        return tokenizer.looking_up(tokenizer._ids)._ids(text, plain)

    with suppress(FitnessError):  # a continuation without tokens
        tokenizer.looking_up(looked_up).encode_pair(context, continuation)
    assert set(asked) <= set(needed)
