"""Stop strings are looked for only after tokens that may complete one, and found where looking each time finds them."""

from __future__ import annotations

from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fitness.engine.generation.decoding import Decoding
from fitness.engine.model.tokenizer import Tokenizer
from fitness.engine.scoring.windows import Prompt
from tests.fitness.engine.kinds_of_tokenizers import KINDS

STOPS = ["\n", "\n\n", "Question:", "s", " the", "A.", "é", "🙂", "</s>", "b ", "'s"]


@cache
def tokenizer_of(kind: str) -> Tokenizer:
    return Tokenizer(KINDS[kind](), max_length=10**6, end_ids=frozenset())


@pytest.mark.parametrize("kind", ["gpt2", "llama_3", "llama_2", "t5"])
@given(
    ids=st.lists(st.integers(0, 10**6), min_size=1, max_size=25),
    stops=st.lists(st.sampled_from(STOPS), min_size=1, max_size=2),
)
@settings(max_examples=150, deadline=None)
def test_a_completion_stops_at_the_first_token_after_which_its_text_has_a_stop_string(kind, ids, stops):
    tokenizer = tokenizer_of(kind)
    ids = [i % tokenizer.n_tokens for i in ids]
    decoding = Decoding(Prompt((1,), tuple(stops), len(ids) + 1), tokenizer)
    for n, token in enumerate(ids, 1):
        decoding.append(token)
        tail = tokenizer.decode(ids[max(0, n - max(len(stop.encode()) for stop in stops) - 4) : n], special_tokens=True)
        assert decoding.ended == any(stop in tail for stop in stops)
        if decoding.ended:
            break


def test_most_tokens_need_no_look():
    tokenizer = tokenizer_of("gpt2")
    words = tokenizer.encode("the old city by the river")
    assert not any(tokenizer.written.may_end(token, frozenset("\n")) for token in words)
    assert tokenizer.written.may_end(tokenizer.encode("\n")[0], frozenset("\n"))
    assert tokenizer.written.may_end(words[0], frozenset("é"))
