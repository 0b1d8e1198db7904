"""Tokenizers and requests at the edges: what lm-eval answers, or one clear error where it has only an assertion."""

from __future__ import annotations

from typing import Any

import pytest
from lm_eval.models.huggingface import HFLM

from fitness.engine.lm_eval.lm_eval_backend import EngineLM
from fitness.errors import FitnessError
from tests.fitness.engine.architectures import CONTEXT, SlowTokenizer, byte_level_tokenizer, tiny_model
from tests.fitness.engine.lm_eval.test_parity_requests import ENGINES, PAIRS, PROMPTS, TEXTS, instances

WITH_CONTEXT = [pair for pair in PAIRS if pair[0]]
TOKENIZERS = {
    "fast": byte_level_tokenizer,
    "slow": SlowTokenizer,
    "adds BOS": lambda: byte_level_tokenizer(adds_bos=True),
    "no pad": lambda: byte_level_tokenizer(special=("<s>", "</s>")),
    "no BOS": lambda: byte_level_tokenizer(special=("<pad>", "</s>")),
}


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Any:
    return ENGINES[request.param]


def both(make_tokenizer: Any, engine: Any, **options: Any) -> tuple[EngineLM, HFLM]:
    """Return ours and lm-eval's, each with a tokenizer of its own (lm-eval's adds what it misses)."""
    model = tiny_model("llama", make_tokenizer())
    ours = EngineLM(model, make_tokenizer(), engine=engine, **options)
    return ours, HFLM(pretrained=model, tokenizer=make_tokenizer(), batch_size=1, **options)


def assert_equal(ours: EngineLM, theirs: HFLM) -> None:
    expected = theirs.loglikelihood(instances("loglikelihood", PAIRS), disable_tqdm=True)
    found = ours.loglikelihood(instances("loglikelihood", PAIRS))
    assert [value for value, _ in found] == pytest.approx([value for value, _ in expected], rel=1e-6, abs=1e-4)
    assert [flag for _, flag in found] == [flag for _, flag in expected]
    texts = instances("loglikelihood_rolling", [(text,) for text in TEXTS])
    assert ours.loglikelihood_rolling(texts) == pytest.approx(
        theirs.loglikelihood_rolling(texts, disable_tqdm=True), rel=1e-6, abs=1e-4
    )
    prompts = instances("generate_until", PROMPTS)
    assert ours.generate_until(prompts) == theirs.generate_until(prompts, disable_tqdm=True)


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_every_kind_of_tokenizer_is_used_as_lm_eval_uses_it(kind, engine):
    assert_equal(*both(TOKENIZERS[kind], engine))


def test_bos_is_left_out_and_put_in_as_lm_eval_does(engine):
    assert_equal(*both(lambda: byte_level_tokenizer(adds_bos=True), engine, add_bos_token=False))
    assert_equal(*both(lambda: byte_level_tokenizer(adds_bos=True), engine, add_bos_token=True))


def test_bos_written_in_the_text_is_not_doubled(engine):
    ours, theirs = both(lambda: byte_level_tokenizer(adds_bos=True), engine)
    pairs = instances("loglikelihood", [("<s>" + context, text) for context, text in WITH_CONTEXT])
    expected = theirs.loglikelihood(pairs, disable_tqdm=True)
    assert [v for v, _ in ours.loglikelihood(pairs)] == pytest.approx([v for v, _ in expected], rel=1e-6, abs=1e-4)
    assert ours.loglikelihood(pairs)[0] == pytest.approx(
        ours.loglikelihood(instances("loglikelihood", WITH_CONTEXT))[0], abs=1e-4
    )


@pytest.mark.parametrize("length", [CONTEXT * 2 // 3, CONTEXT - 1])
def test_a_shorter_limit_cuts_from_the_left(length, engine):
    assert_equal(*both(byte_level_tokenizer, engine, max_length=length))


def test_another_token_can_stand_before_empty_contexts(engine):
    tokenizer = byte_level_tokenizer()
    ours, theirs = both(byte_level_tokenizer, engine, prefix_token_id=tokenizer.eos_token_id)
    empty = instances("loglikelihood", [("", "The fox"), ("", "</s>a")])
    expected = theirs.loglikelihood(empty, disable_tqdm=True)
    assert [v for v, _ in ours.loglikelihood(empty)] == pytest.approx([v for v, _ in expected], abs=1e-4)
    texts = instances("loglikelihood_rolling", [("The fox",)])
    assert ours.loglikelihood_rolling(texts) == pytest.approx(theirs.loglikelihood_rolling(texts), abs=1e-4)


def test_no_requests_have_no_answers(engine):
    ours, _ = both(byte_level_tokenizer, engine)
    assert ours.loglikelihood([]) == ours.loglikelihood_rolling([]) == ours.generate_until([]) == []


def test_without_bos_and_eos_contexts_are_scored_and_empty_ones_are_refused(engine):
    model = tiny_model("llama", byte_level_tokenizer(special=("<pad>",)))
    ours = EngineLM(model, byte_level_tokenizer(special=("<pad>",)), engine=engine)
    values = [value for value, _ in ours.loglikelihood(instances("loglikelihood", WITH_CONTEXT))]
    assert len(values) == len(WITH_CONTEXT)
    assert all(value < 0.0 for value in values)
    assert ours.generate_until(instances("generate_until", PROMPTS[:1]))[0] != ""
    with pytest.raises(FitnessError, match="expected a bos_token or an eos_token"):
        ours.loglikelihood(instances("loglikelihood", [("", "x")]))


@pytest.mark.parametrize("pair", [("what is", ""), ("", ""), ("what is  ", "")])
def test_an_empty_continuation_is_one_clear_error(pair, engine):
    ours, _ = both(byte_level_tokenizer, engine)
    if pair[0].endswith(" "):  # lm-eval moves spaces at the context's end to the continuation
        assert len(ours.loglikelihood(instances("loglikelihood", [pair]))) == 1
    else:
        with pytest.raises(FitnessError, match="expected at least one token, found none"):
            ours.loglikelihood(instances("loglikelihood", [pair]))


def test_a_continuation_longer_than_the_model_is_one_clear_error(engine):
    ours, _ = both(byte_level_tokenizer, engine)
    with pytest.raises(FitnessError, match=f"expected at most the {CONTEXT} tokens that the model takes"):
        ours.loglikelihood(instances("loglikelihood", [("a", "many words " * CONTEXT)]))


def test_a_completion_longer_than_the_model_is_one_clear_error(engine):
    ours, _ = both(byte_level_tokenizer, engine)
    with pytest.raises(FitnessError, match=f"max_new_tokens: expected between 1 and {CONTEXT - 1}"):
        ours.generate_until(instances("generate_until", [("a", {"until": ["\n"]})]))
