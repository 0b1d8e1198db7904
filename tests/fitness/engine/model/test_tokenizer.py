"""What is context and what is continuation, against lm-eval, with a byte-level BPE whose tokens cross the border."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lm_eval.models.huggingface import HFLM
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from fitness.engine.model.tokenizer import Tokenizer, load_tokenizer
from fitness.errors import FitnessError
from tests.conftest import Family, tiny_config

CORPUS = ["the answer is the answer: the cat sat on the mat. ", "a  b   c\n\nd the the answers ", "é ü 日本 the "] * 5


@pytest.fixture(scope="module")
def bpe(tmp_path_factory) -> Path:
    from tokenizers import ByteLevelBPETokenizer

    directory = tmp_path_factory.mktemp("bpe")
    trained = ByteLevelBPETokenizer()
    trained.train_from_iterator(CORPUS, vocab_size=360, special_tokens=["</s>"], show_progress=False)
    PreTrainedTokenizerFast(tokenizer_object=trained._tokenizer, eos_token="</s>").save_pretrained(directory)
    tiny_config().save_pretrained(directory)
    return directory


@pytest.fixture(scope="module")
def tokenizer(bpe) -> Tokenizer:
    return load_tokenizer(bpe)


@pytest.fixture(scope="module")
def reference(model, bpe) -> HFLM:
    return HFLM(pretrained=model, tokenizer=AutoTokenizer.from_pretrained(bpe), batch_size=1)


pieces = st.lists(
    st.sampled_from(["the", " ", "answer", "s", "\n", "a", "é", "日", "cat sat", ": ", "</s>"]), max_size=6
)
texts = pieces.map("".join)


@settings(max_examples=300)
@given(context=texts.filter(str.strip), continuation=texts.filter(str.strip))
def test_context_and_continuation_are_lm_evals(tokenizer, reference, context, continuation):
    expected = reference._encode_pair(context, continuation)
    if not all(expected):
        with pytest.raises(FitnessError, match="expected at least one token"):
            tokenizer.encode_pair(context, continuation)
    else:
        assert tokenizer.encode_pair(context, continuation) == expected


@given(text=texts)
def test_a_text_is_encoded_as_by_lm_eval(tokenizer, reference, text):
    assert tokenizer.encode(text) == reference.tok_encode(text)


def test_spaces_at_the_end_of_the_context_belong_to_the_continuation(tokenizer):
    assert tokenizer.encode_pair("the answer ", "is") == tokenizer.encode_pair("the answer", " is")


def test_without_a_context_the_text_starts_from_the_end_token(tokenizer):
    (end,) = tokenizer.end_ids
    assert tokenizer.prefix_id == end
    assert tokenizer.encode_pair("", "the") == ([end], tokenizer.encode("the"))
    assert tokenizer.encode_pair("", "</s>the") == ([end], tokenizer.encode("the"))
    assert tokenizer.encode_pair("  ", "the") == ([end], tokenizer.encode("  the"))


def test_a_tokenizer_without_a_start_or_end_token_says_so_where_one_is_needed(bpe, tmp_path):
    bare = AutoTokenizer.from_pretrained(bpe)
    bare.eos_token = None
    bare.save_pretrained(tmp_path)
    tiny_config().save_pretrained(tmp_path)
    tokenizer = load_tokenizer(tmp_path)
    assert tokenizer.encode_pair("the", " answer") == (tokenizer.encode("the"), tokenizer.encode(" answer"))
    with pytest.raises(FitnessError, match="expected a bos_token or an eos_token"):
        tokenizer.encode_pair("", "the")


def test_a_tokenizer_that_loads_and_cannot_read_a_word_is_refused_with_its_place(
    family: Family, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(family.base, tmp_path / "copy"))
    said = json.loads((copy / "tokenizer.json").read_text())
    unknown = {"SpecialToken": {"id": "no such token", "type_id": 0}}
    said["post_processor"] = {"type": "TemplateProcessing", "single": [unknown], "pair": [], "special_tokens": {}}
    (copy / "tokenizer.json").write_text(json.dumps(said))
    with pytest.raises(FitnessError, match=rf"{copy}: expected a tokenizer that reads text, found one that fails"):
        load_tokenizer(copy)
