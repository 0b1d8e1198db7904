"""Requests read together are what each is alone; they are kept in files, and selections are read off those."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fitness.engine.language_model import Completion, Continuation, NextTokens, NextTokensAlong, Sampling, WholeText
from fitness.engine.model.tokenizer import Tokenizer
from fitness.engine.scoring.token_trie import build_trie
from fitness.engine.scoring.windows import tokenise
from fitness.engine.tokens.request_store import RequestStore
from fitness.engine.tokens.request_trie import RequestTrie, read_requests
from fitness.engine.tokens.token_files import TokenFiles, opened, requests_digest, tokenizer_digest, write
from fitness.engine.trie import TrieLanguageModel
from fitness.errors import FitnessError
from tests.fitness.engine.kinds_of_tokenizers import KINDS

words = st.text("ab \n", min_size=1, max_size=12).filter(str.strip)
requests = st.one_of(
    st.builds(Continuation, words, words),
    st.builds(WholeText, words),
    st.builds(NextTokens, words, st.integers(1, 3)),
    st.builds(NextTokensAlong, words, words),
    st.builds(Completion, words, st.just(("x", "")), st.integers(1, 9), st.none() | st.just(Sampling(seed=3))),
)
some = st.lists(requests, min_size=1, max_size=8, unique=True)
SHARED = "Question: which?\nAnswer: "
MANY = [Continuation(f"{SHARED}{i}\nQuestion: {i * i}?\nAnswer:", f" {c}") for i in range(30) for c in "abcd"]


@pytest.fixture(params=["gpt2", "llama_3", "llama_2"])
def tokens(request) -> Tokenizer:
    return Tokenizer(KINDS[request.param](), max_length=24, end_ids=frozenset([2]))


@given(asked=some, chosen=st.data())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_selection_reads_what_its_requests_read_alone(tokens, asked, chosen):
    asked = [
        request
        for request in asked
        if not isinstance(request, Continuation | NextTokensAlong) or _has_ids(request, tokens)
    ]
    known = RequestStore(tokens, None).of(asked)
    picked = chosen.draw(st.lists(st.sampled_from(asked), unique=True)) if asked else []
    windows = [number for request in picked if not isinstance(request, Completion) for number in known.windows(request)]
    alone = [tokenise(request, tokens) for request in picked]
    expected = [window for parts in alone if isinstance(parts, list) for window in parts]
    assert known.trie.window_list(np.array(windows, dtype=np.int64)) == expected
    prompts = [known.prompt(request) for request in picked if isinstance(request, Completion)]
    assert prompts == [parts for parts in alone if not isinstance(parts, list)]
    trie, nodes = build_trie(
        [np.array(window.inputs) for window in expected], [np.array(window.places) for window in expected]
    )
    found, readout = known.trie.part(np.array(windows, dtype=np.int64))
    for name in ("tokens", "depths", "parents", "ends"):
        assert getattr(found, name).tolist() == getattr(trie, name).tolist()
    assert readout.spots.tolist() == sorted({int(node) for at in nodes for node in at})
    assert readout.n_windows == len(expected)


def _has_ids(request, tokens: Tokenizer) -> bool:
    try:
        tokenise(request, tokens)
    except FitnessError:
        return False
    return True


def test_what_was_asked_is_not_tokenised_again_in_any_selection(tokens, monkeypatch):
    engine = TrieLanguageModel(tokens)
    engine.plan(MANY)
    monkeypatch.setattr("fitness.engine.tokens.token_files.read_requests", lambda *_: pytest.fail("tokenised again"))
    engine.plan(MANY[40:60])
    engine.plan(MANY[::-3])


def test_another_process_finds_the_ids_in_a_file(tokens, tmp_path, monkeypatch):
    made = TokenFiles(tokens, tmp_path, worth=1).request_trie(MANY)
    monkeypatch.setattr("fitness.engine.tokens.token_files.read_requests", lambda *_: pytest.fail("tokenised again"))
    found = TokenFiles(tokens, tmp_path, worth=1).request_trie(MANY)
    assert not found.trie.tokens.flags.writeable
    for name, array in made.arrays().items():
        assert found.arrays()[name].tolist() == array.tolist()


def test_few_tokens_are_not_worth_a_file_and_a_directory_that_cannot_be_is_not_needed(tokens, tmp_path):
    TokenFiles(tokens, tmp_path).request_trie(MANY)
    (tmp_path / "file").write_text("")
    TokenFiles(tokens, tmp_path / "file", worth=1).request_trie(MANY)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_other_requests_and_other_tokenizers_have_other_files(tokens):
    digest = requests_digest(MANY, "t")
    others = [
        requests_digest(MANY[:-1], "t"),
        requests_digest([*MANY[1:], MANY[0]], "t"),
        requests_digest(MANY, "u"),
        requests_digest([NextTokens("ab", 2)], "t"),
        requests_digest([NextTokens("ab", 3)], "t"),
        requests_digest([WholeText("ab")], "t"),
        requests_digest([Continuation("a", "b")], "t"),
        requests_digest([NextTokensAlong("a", "b")], "t"),
        requests_digest([Completion("ab", (), 2)], "t"),
        requests_digest([Completion("ab", (), 3)], "t"),
    ]
    assert len({digest, *others}) == 1 + len(others)
    assert requests_digest(list(MANY), "t") == digest
    names = [tokenizer_digest(Tokenizer(KINDS[kind](), max_length=24, end_ids=frozenset())) for kind in KINDS]
    assert len(set(names)) == len(KINDS)
    assert tokenizer_digest(Tokenizer(tokens.pretrained, max_length=25, end_ids=frozenset())) not in names


@pytest.mark.parametrize("part", [0, 7, 9, 0.2, 0.5, 0.999])
def test_a_damaged_file_is_made_again(tmp_path, part, caplog):
    tokens = Tokenizer(KINDS["gpt2"](), max_length=24, end_ids=frozenset([2]))
    files = TokenFiles(tokens, tmp_path, worth=1)
    made = files.request_trie(MANY)
    (file,) = tmp_path.iterdir()
    content = bytearray(file.read_bytes())
    content[int(part * len(content)) if isinstance(part, float) else part] ^= 0x55
    file.write_bytes(content)
    with caplog.at_level(logging.INFO):
        found = files.request_trie(MANY)
    assert found.arrays()["spots"].tolist() == made.arrays()["spots"].tolist()
    assert opened(file, len(MANY)) is not None
    file.write_bytes(bytes(content)[: len(content) // 2])
    assert files.request_trie(MANY).n_read == made.n_read


def test_a_file_whose_arrays_do_not_fit_together_is_made_again_whoever_wrote_it(tmp_path):
    """Each of these would read outside of an array, or walk up a path for ever."""
    tokens = Tokenizer(KINDS["gpt2"](), max_length=24, end_ids=frozenset([2]))
    asked = [*MANY, Completion("ab", (), 2)]
    made = read_requests(asked, tokens).arrays()
    n_nodes = len(made["tokens"])
    changes = {
        "parents": (3, 3), "ends": (5, n_nodes + 1), "spots": (0, n_nodes), "windows": (1, 0), "requests": (1, 10**6),
        "lengths": (-1, 10**6), "tokens": (2, -1), "prompts": (0, -5), "targets": (0, -2), "depths": (4, 9**9),
    }  # fmt: skip
    for name, (place, value) in changes.items():
        arrays = {key: array.copy() for key, array in made.items()}
        arrays[name][place] = value
        write(tmp_path / f"{name}.safetensors", RequestTrie.of_arrays(arrays))
        assert opened(tmp_path / f"{name}.safetensors", len(asked)) is None, name
    write(tmp_path / "sound.safetensors", RequestTrie.of_arrays(made))
    assert opened(tmp_path / "sound.safetensors", len(asked)) is not None
    assert opened(tmp_path / "sound.safetensors", len(asked) - 1) is None


def test_a_write_that_fails_leaves_nothing_behind(tokens, tmp_path, monkeypatch):
    made = read_requests(MANY, tokens)
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError("no space")))
    with pytest.raises(OSError, match="no space"):
        write(tmp_path / "x.safetensors", made)
    assert not list(tmp_path.iterdir())


def test_requests_that_were_cut_are_told_of_though_a_file_has_them(tmp_path, caplog):
    tokens = Tokenizer(KINDS["gpt2"](), max_length=12, end_ids=frozenset([2]))
    files = TokenFiles(tokens, tmp_path, worth=1)
    lost = files.request_trie(MANY).lost
    assert len(lost) == sum(len(tokens.encode(r.context + r.continuation)) > 13 for r in MANY) > 0
    assert replace(files.request_trie(MANY)).lost.tolist() == lost.tolist()
