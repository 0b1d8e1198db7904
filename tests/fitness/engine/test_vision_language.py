"""Vision-language models are scored with text through the class that they are, as their forward pass computes it."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from fitness.engine.language_model import Completion, Continuation, LogLikelihood
from fitness.engine.model.tokenizer import Tokenizer, tokenizer_for
from fitness.engine.scoring.readout import Mode
from fitness.engine.trie import TrieLanguageModel
from tests.fitness.engine.architectures import byte_level_tokenizer
from tests.fitness.engine.vision_language import CONTEXT, MODELS, look, vision_language_model

QUESTION = "What is the capital of France, and how many sheep are there? Answer:"
REQUESTS = [
    *(Continuation(QUESTION, answer) for answer in (" Paris", " seven sheep", " none")),
    Continuation("The dog", " sleeps."),
    Completion("The quick brown", max_new_tokens=6),
    Completion(QUESTION, max_new_tokens=6),
]


@pytest.fixture(scope="module", params=list(MODELS))
def model(request: pytest.FixtureRequest) -> Any:
    return vision_language_model(request.param)


def tokens_for(model: Any) -> Tokenizer:
    return tokenizer_for(model.config, byte_level_tokenizer(), model.generation_config)


@torch.no_grad()
def by_hand(model: Any, tokenizer: Tokenizer, request: Any) -> float | str:
    """One forward pass a request, or transformers' own greedy generation."""
    if isinstance(request, Continuation):
        context, continuation = tokenizer.encode_pair(request.context, request.continuation)
        logits = model(input_ids=torch.tensor([[*context, *continuation]])).logits[0].log_softmax(-1)
        places = range(len(context) - 1, len(context) + len(continuation) - 1)
        return sum(float(logits[place, token]) for place, token in zip(places, continuation, strict=True))
    ids = torch.tensor([tokenizer.encode(request.prompt)])
    found = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=6, do_sample=False)
    return tokenizer.decode([t for t in found[0, ids.shape[1] :].tolist() if t not in tokenizer.end_ids])


def answers(model: Any, tokenizer: Tokenizer, mode: Mode | None = None) -> list[float | str]:
    found = TrieLanguageModel(tokenizer, mode=mode).plan(REQUESTS).answer(model)
    return [answer.value if isinstance(answer, LogLikelihood) else str(answer) for answer in found]


def test_text_is_scored_and_completed_as_the_forward_pass_and_generate_do(model: Any) -> None:
    tokenizer = tokens_for(model)
    expected = [by_hand(model, tokenizer, request) for request in REQUESTS]
    assert answers(model, tokenizer) == pytest.approx(expected, abs=1e-4)


def test_the_token_trie_runs_on_its_decoder_and_leaves_the_vision_tower_as_it_is(
    model: Any, caplog: pytest.LogCaptureFixture
) -> None:
    model.set_attn_implementation({"vision_config": "eager"})
    answers(model, tokens_for(model))
    assert "scored in" not in caplog.text  # a line of the log says so where it is another mode
    assert model.config.vision_config._attn_implementation == "eager"
    assert model.config.text_config._attn_implementation == "sdpa"


def test_the_length_is_the_text_settings(model: Any) -> None:
    assert tokens_for(model).max_length == CONTEXT


@pytest.mark.parametrize("mode", ["prefix", "plain"])
def test_an_image_seen_before_does_not_move_the_positions_of_text(mode: Mode) -> None:
    model = vision_language_model("qwen3_vl")
    tokenizer = tokens_for(model)
    fresh = answers(model, tokenizer, mode)
    look(model)
    assert answers(model, tokenizer, mode) == pytest.approx(fresh, abs=1e-5)
