from __future__ import annotations

from fitness.engine.language_model import NextTokensAlong
from fitness.engine.model.tokenizer import Tokenizer
from fitness.engine.scoring.windows import Window, tokenise


def along(tokenizer: Tokenizer, text: str, continuation: str) -> Window:
    (window,) = tokenise(NextTokensAlong(text, continuation), tokenizer)
    return window


def test_distributions_are_read_after_a_text_and_after_each_token_that_follows(tokenizer):
    window = along(tokenizer, "ab=", "cde")
    assert window.inputs == tuple(tokenizer.encode("ab=cde"))
    assert window.places == (2, 3, 4, 5)
    assert window.targets is None


def test_spaces_at_the_texts_end_are_read_with_what_follows(tokenizer):
    assert along(tokenizer, "ab= ", "c").places == (2, 3, 4)


def test_a_long_text_is_cut_from_the_left_and_a_longer_continuation_is_read_everywhere(tokenizer):
    limit = tokenizer.max_length
    window = along(tokenizer, "a" * limit, "bc")
    assert window.inputs == tuple(tokenizer.encode("a" * (limit - 2) + "bc"))
    assert window.places == (limit - 3, limit - 2, limit - 1)
    assert along(tokenizer, "a", "b" * limit).places == tuple(range(limit))
