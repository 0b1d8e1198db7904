from __future__ import annotations

from fitness.engine.language_model import Completion, Continuation, NextTokens, NextTokensAlong, WholeText
from fitness.engine.model.tokenizer import Tokenizer
from fitness.engine.scoring.windows import Window, tokenise
from fitness.engine.trie import TrieLanguageModel


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


def test_requests_that_lose_their_beginning_are_counted_and_told_once_by_an_engine(tokenizer, caplog):
    limit = tokenizer.max_length
    engine = TrieLanguageModel(tokenizer)
    engine.plan([Continuation("a" * limit, "b"), WholeText("a" * 3 * limit), Completion("a" * (limit - 5), (), 5)])
    assert not caplog.messages
    long = [NextTokens("c" * (limit + 7)), Continuation("a" * limit, "bb"), Completion("a" * limit, (), 5)]
    engine.plan([*long, *long, NextTokens("a")])
    assert caplog.messages == [
        f"3 of 4 requests are longer than the {limit} tokens that the model takes: their beginnings are truncated, "
        "by up to 7 tokens (max_position_embeddings of config.json says how many it takes)"
    ]
    engine.plan(long)
    assert len(caplog.messages) == 1
