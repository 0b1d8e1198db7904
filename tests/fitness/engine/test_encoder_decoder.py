"""Encoder-decoders are scored as transformers' forward pass with labels does, and write what generate writes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers

from fitness.engine.encoder_decoder.language_model import EncoderDecoder
from fitness.engine.engines import language_model_for
from fitness.engine.language_model import (
    Completion,
    CompletionLength,
    Continuation,
    Distributions,
    LogLikelihood,
    NextTokens,
    NextTokensAlong,
    WholeText,
)
from fitness.engine.model.memory import Sizes
from fitness.engine.model.tokenizer import Tokenizer, tokenizer_for
from fitness.errors import FitnessError
from tests.fitness.engine.architectures import byte_level_tokenizer

CONFIGS: dict[str, Any] = {
    "t5": lambda: transformers.T5Config(
        d_model=32, d_kv=8, d_ff=48, num_layers=2, num_decoder_layers=1, num_heads=4, decoder_start_token_id=0
    ),
    "bart": lambda: transformers.BartConfig(
        d_model=32,
        encoder_layers=1,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=48,
        decoder_ffn_dim=48,
        max_position_embeddings=64,
        decoder_start_token_id=2,
    ),
}
QUESTION = "How many sheep are there? "
CONTINUATIONS = [
    *(Continuation(QUESTION, answer) for answer in ("seven", "one of them is black", "none")),
    Continuation("The dog", " sleeps."),
    Continuation("", "Paris"),
]
COMPLETIONS = [Completion(prompt, max_new_tokens=7) for prompt in ("The quick brown", QUESTION, "Paris is", "ça va?")]


@pytest.fixture(scope="module", params=list(CONFIGS))
def model(request: pytest.FixtureRequest) -> Any:
    """A model with sharp predictions; BART is told to write `<s>` first."""
    torch.manual_seed(0)
    config = CONFIGS[request.param]()
    config.vocab_size, config.pad_token_id, config.bos_token_id, config.eos_token_id = 310, 0, 1, 2
    model = transformers.AutoModelForSeq2SeqLM.from_config(config).eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.normal_(0.0, 1.5 / parameter.shape[-1] ** 0.5, generator=generator)
    model.generation_config.forced_bos_token_id = 1 if request.param == "bart" else None
    model.generation_config.forced_eos_token_id = None
    return model


@pytest.fixture(scope="module")
def tokens(model: Any) -> Tokenizer:
    return tokenizer_for(model.config, byte_level_tokenizer(), model.generation_config)


@torch.no_grad()
def logits_of(model: Any, tokens: Tokenizer, request: Any) -> tuple[torch.Tensor, list[int]]:
    """The decoder's logits of one request alone, and the labels: as lm-eval's backend for such models has them."""
    context = request.context if isinstance(request, Continuation) else request.text
    spaces = context[len(context.rstrip()) :]
    source = tokens.encode(context.rstrip()) or [tokens.prefix_id]
    labels = tokens.pretrained.encode(spaces + request.continuation, add_special_tokens=False)
    found = model(input_ids=torch.tensor([source]), labels=torch.tensor([labels])).logits[0].log_softmax(-1)
    return found, labels


def test_a_continuation_is_scored_by_the_decoder(model: Any, tokens: Tokenizer) -> None:
    found = language_model_for(tokens).plan(CONTINUATIONS).answer(model)
    for request, answer in zip(CONTINUATIONS, found, strict=True):
        logs, labels = logits_of(model, tokens, request)
        assert isinstance(answer, LogLikelihood)
        assert answer.value == pytest.approx(sum(float(logs[i, label]) for i, label in enumerate(labels)), abs=1e-4)
        assert answer.is_greedy == (logs.argmax(-1).tolist() == labels)


def test_completions_are_those_of_greedy_generation(model: Any, tokens: Tokenizer) -> None:
    plan = language_model_for(tokens).plan([*COMPLETIONS, *map(CompletionLength, COMPLETIONS)])
    found = plan.answer(model)
    for request, text, length in zip(COMPLETIONS, found[: len(COMPLETIONS)], found[len(COMPLETIONS) :], strict=True):
        ids = torch.tensor([tokens.encode(request.prompt)])
        forced = len(tokens.decoder_start) - 1
        written = model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=7 + forced, do_sample=False, num_beams=1
        )[0, len(tokens.decoder_start) :]
        assert text == tokens.decode([token for token in written.tolist() if token not in tokens.end_ids])
        assert length == len(written)


def test_distributions_stand_before_each_token_of_what_is_written(model: Any, tokens: Tokenizer) -> None:
    along, first = NextTokensAlong("Paris is", " the capital"), NextTokens("Paris is")
    found = language_model_for(tokens).plan([along, first]).answer(model)
    assert isinstance(found[0], Distributions)
    assert isinstance(found[1], Distributions)
    logs, labels = logits_of(model, tokens, along)
    assert found[0].log_probabilities[:-1] == pytest.approx(logs.numpy(), abs=1e-4)
    assert len(found[0].log_probabilities) == len(labels) + 1
    assert found[1].log_probabilities[0] == pytest.approx(logs[0].numpy(), abs=1e-4)


def test_answers_do_not_depend_on_how_much_fits_in_a_pass(model: Any, tokens: Tokenizer) -> None:
    requests = [*CONTINUATIONS, *COMPLETIONS]
    whole = language_model_for(tokens).plan(requests).answer(model)
    small = EncoderDecoder(tokens, sizes=Sizes(tokens=2, reads=3)).plan(requests).answer(model)
    for one, other in zip(small, whole, strict=True):
        if isinstance(one, LogLikelihood) and isinstance(other, LogLikelihood):
            assert one.value == pytest.approx(other.value, abs=1e-4)
        else:
            assert one == other


@pytest.mark.parametrize("request_", [WholeText("a whole text"), NextTokens("a text", 4)])
def test_a_text_without_a_prompt_is_refused(request_: Any, model: Any, tokens: Tokenizer) -> None:
    with pytest.raises(FitnessError, match="expected a prompt with choices or an answer"):
        language_model_for(tokens).plan([request_])


def test_one_line_says_how_they_are_scored(model: Any, tokens: Tokenizer, caplog: pytest.LogCaptureFixture) -> None:
    engine = language_model_for(tokens)
    for requests in (CONTINUATIONS, COMPLETIONS):
        engine.plan(requests).answer(model)
    assert len([line for line in caplog.messages if "in plain batches" in line]) == 1
