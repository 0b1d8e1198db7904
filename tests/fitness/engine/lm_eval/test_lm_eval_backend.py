"""The engine as a model of lm-eval: loading by arguments, lm-eval's cache, chat templates, sampling, new weights."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from lm_eval.api.model import CachingLM
from lm_eval.models.huggingface import HFLM

from fitness.engine.lm_eval.lm_eval_backend import EngineLM
from fitness.engine.lm_eval.lm_eval_generation import completion
from fitness.engine.lm_eval.lm_eval_model_args import ModelArguments, load_model
from fitness.errors import FitnessError
from tests.fitness.engine.architectures import byte_level_tokenizer, save, tiny_model
from tests.fitness.engine.lm_eval.test_parity_requests import HEADER, PAIRS, PROMPTS, instances

TEMPLATE = (
    "{% for m in messages %}{% if m['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}"
    "<{{ m['role'] }}>{{ m['content'] }}{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
)
ASKED = instances("loglikelihood", PAIRS)


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return byte_level_tokenizer()


@pytest.fixture
def model(tokenizer: Any) -> torch.nn.Module:
    return tiny_model("llama", tokenizer)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory, tokenizer: Any) -> Path:
    return save(tiny_model("llama", tokenizer), tokenizer, tmp_path_factory.mktemp("checkpoint"))


def test_a_checkpoint_is_loaded_by_lm_evals_arguments(checkpoint, model, tokenizer):
    loaded = EngineLM.create_from_arg_string(
        f"pretrained={checkpoint},dtype=float32,max_length=48", {"batch_size": 1, "device": "cuda:0"}
    )
    theirs = HFLM(pretrained=str(checkpoint), dtype="float32", max_length=48, device="cpu")
    expected = theirs.loglikelihood(ASKED, disable_tqdm=True)
    assert [value for value, _ in loaded.loglikelihood(ASKED)] == pytest.approx([v for v, _ in expected], abs=1e-4)
    assert loaded.max_length == theirs.max_length == 48
    assert loaded.tokenizer_name == theirs.tokenizer_name
    assert loaded.eot_token_id == theirs.eot_token_id


def test_on_the_cpu_half_precision_checkpoints_compute_in_float32_unless_told_otherwise(model, tokenizer, tmp_path):
    save(model.to(torch.bfloat16), tokenizer, tmp_path)
    by_default, _ = load_model(ModelArguments.of({"pretrained": str(tmp_path), "device": "cpu"}))
    asked, _ = load_model(ModelArguments.of({"pretrained": str(tmp_path), "device": "cpu", "dtype": "auto"}))
    assert next(by_default.parameters()).dtype == torch.float32
    assert next(asked.parameters()).dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"pretrained": "x", "dtyp": "float32"},
            "dtyp: expected an argument that the engine has.*did you mean 'dtype'",
        ),
        ({"pretrained": "x", "peft": "y"}, "peft: expected .* the engine takes add_bos_token"),
        ({}, "pretrained: expected a checkpoint directory or hub id, found none"),
        ({"pretrained": "x", "trust_remote_code": True}, "trust_remote_code: expected False"),
        ({"pretrained": "x", "dtype": "float13"}, "dtype: expected one of auto, .*found 'float13'"),
        ({"pretrained": "/no/such/model"}, "/no/such/model: expected a checkpoint to load"),
    ],
)
def test_arguments_that_the_engine_does_not_have_are_refused_by_name(arguments, message):
    with pytest.raises(FitnessError, match=message):
        EngineLM.create_from_arg_obj(arguments)


def test_every_wrong_argument_is_told_at_once():
    with pytest.raises(FitnessError, match=r"peft(.|\n)*quantise"):
        ModelArguments.of({"pretrained": "x", "peft": "y", "quantise": 4})


def test_answers_are_kept_in_lm_evals_cache(model, tokenizer, tmp_path):
    first = CachingLM(EngineLM(model, tokenizer), str(tmp_path / "cache.db"))
    answers = first.loglikelihood(ASKED)
    texts = first.generate_until(instances("generate_until", PROMPTS[:2]))
    with torch.no_grad():
        model.lm_head.weight.mul_(-1.0)
    second = CachingLM(EngineLM(model, tokenizer), str(tmp_path / "cache.db"))
    assert second.loglikelihood(ASKED) == answers
    assert second.generate_until(instances("generate_until", PROMPTS[:2])) == texts
    for caching in (first, second):
        caching.dbdict.close()


def test_no_answer_outlives_the_weights_that_gave_it(model, tokenizer):
    lm = EngineLM(model, tokenizer)
    before = lm.loglikelihood(ASKED), lm.generate_until(instances("generate_until", PROMPTS))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(0.9)
    after = lm.loglikelihood(ASKED), lm.generate_until(instances("generate_until", PROMPTS))
    fresh = EngineLM(model, tokenizer)
    assert after == (fresh.loglikelihood(ASKED), fresh.generate_until(instances("generate_until", PROMPTS)))
    assert before != after


def test_sampled_completions_repeat_with_the_seed_and_differ_between_repeats(model, tokenizer):
    options = {"until": [], "max_gen_toks": 8, "do_sample": True, "temperature": 1.5}
    asked = instances("generate_until", [(HEADER, options)] * 4)
    lm = EngineLM(model, tokenizer)
    torch.manual_seed(7)
    first = lm.generate_until(asked)
    torch.manual_seed(7)
    assert EngineLM(model, tokenizer).generate_until(asked) == first
    assert len(set(first)) == 4
    torch.manual_seed(8)
    assert lm.generate_until(asked) != first


def test_chats_are_rendered_as_lm_eval_renders_them(model, tokenizer):
    tokenizer = byte_level_tokenizer()
    tokenizer.chat_template = TEMPLATE
    ours, theirs = EngineLM(model, tokenizer), HFLM(pretrained=model, tokenizer=tokenizer)
    chat = [{"role": "system", "content": "be short"}, {"role": "user", "content": "hi"}]
    assert ours.apply_chat_template(chat) == theirs.apply_chat_template(chat) == "<user>hi<assistant>"
    started = [*chat[1:], {"role": "assistant", "content": "well"}]
    expected = theirs.apply_chat_template(started, add_generation_prompt=False)
    assert ours.apply_chat_template(started, add_generation_prompt=False) == expected == "<user>hi<assistant>well"
    assert ours.chat_template(True) == theirs.chat_template(True) == TEMPLATE


def test_a_penalty_that_is_not_applied_is_told(model, tokenizer, caplog):
    model.generation_config.repetition_penalty = 1.1
    with caplog.at_level(logging.WARNING):
        EngineLM(model, tokenizer).generate_until(instances("generate_until", PROMPTS[:1]))
    assert "repetition_penalty=1.1" in caplog.text


def test_generation_kwargs_become_completions():
    options = {"until": "\n", "max_tokens": 5, "do_sample": False, "temperature": 0.7, "num_beams": 1}
    greedy = completion("a", options)
    assert (greedy.stop, greedy.max_new_tokens, greedy.sampling) == (("\n",), 5, None)
    assert completion("a", {}).max_new_tokens == 256
    sampled = completion("a", {"temperature": 0.7, "top_p": 0.9, "top_k": 0}).sampling
    assert sampled is not None
    assert (sampled.temperature, sampled.top_p, sampled.top_k) == (0.7, 0.9, None)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_beams": 4}, "found num_beams=4"),
        ({"repetition_penalty": 1.2}, "found repetition_penalty=1.2"),
        ({"do_sample": True}, "expected a temperature above 0"),
    ],
)
def test_generation_kwargs_that_the_engine_does_not_have_are_refused(options, message):
    with pytest.raises(FitnessError, match=message):
        completion("a", options)
