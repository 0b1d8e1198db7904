"""Every kind of request on every architecture: the engine as lm-eval's model against lm-eval's own backend."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import pytest
import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

from fitness.engine.language_model import LanguageModel
from fitness.engine.lm_eval.lm_eval_backend import EngineLM
from fitness.engine.model.tokenizer import Tokenizer
from fitness.engine.trie import TrieLanguageModel
from tests.fitness.engine.architectures import CONFIGS, CONTEXT, byte_level_tokenizer, tiny_model

ENGINES: dict[str, Callable[[Tokenizer], LanguageModel]] = {
    "trie": TrieLanguageModel,
    "plain": partial(TrieLanguageModel, mode="plain"),
}

HEADER = "Question: how many sheep are there? Answer: seven sheep.\n"
LONG = HEADER * 4  # longer than the context
PAIRS: list[tuple[str, str]] = [
    *[
        (HEADER + "What is the dog?", choice)
        for choice in (" A", " B", " the lazy dog", " the lazy", " the", "\n\nfox")
    ],
    *[(HEADER + "Où est 日本?", choice) for choice in (" ça", " 日本語", " 🙂🙃", " 🙂", "e\u0301")],
    *[("", text) for text in ("The fox", "🙂", "a", "T")],
    *[(LONG + question, choice) for question in ("What?", "When? ") for choice in (" there", " France is", "x")],
    ("trailing spaces  ", "are the continuation's"),
    ("the", "n"),
    ("jumps", " over" * 12),
]
TEXTS = ["", "fox", HEADER, LONG, "🙂 emoji é" * 9]
PROMPTS: list[tuple[str, dict[str, Any]]] = [
    (HEADER + "What is the dog?", {"until": ["\n", "e"], "max_gen_toks": 12}),
    (HEADER + "What is", {"until": "er", "max_gen_toks": 9}),
    (HEADER + "What is", {"until": [], "max_gen_toks": 6, "do_sample": False, "temperature": 0.0}),
    ("日本", {"until": ["</s>", "本"], "max_new_tokens": 8}),
    (LONG, {"until": ["\n\n"], "max_gen_toks": 10}),
    ("a", {"max_gen_toks": 7}),
]


def instances(kind: str, arguments: list[Any]) -> list[Instance]:
    return [Instance(kind, {}, argument, i) for i, argument in enumerate(arguments)]


@cache
def reference(architecture: str) -> tuple[torch.nn.Module, Any, dict[str, Any]]:
    """Return a model, its tokenizer, and what lm-eval's own backend answers, request by request."""
    tokenizer = byte_level_tokenizer()
    model = tiny_model(architecture, tokenizer)
    theirs = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=1)
    scores = theirs.loglikelihood(instances("loglikelihood", PAIRS), disable_tqdm=True)
    beginnings = [HEADER[:n] for n in range(8, len(HEADER), 3) if HEADER[n - 1] != " "]
    next_texts = theirs.generate_until(
        instances("generate_until", [(b, {"max_gen_toks": 1}) for b in beginnings]), True
    )
    greedy = [(beginning, text) for beginning, text in zip(beginnings, next_texts, strict=True) if text]
    answers = {
        "pairs": PAIRS + greedy,
        "loglikelihood": scores + theirs.loglikelihood(instances("loglikelihood", greedy), disable_tqdm=True),
        "rolling": theirs.loglikelihood_rolling(
            instances("loglikelihood_rolling", [(text,) for text in TEXTS]), disable_tqdm=True
        ),
        "generate": theirs.generate_until(instances("generate_until", PROMPTS), disable_tqdm=True),
    }
    return model, tokenizer, answers


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("architecture", CONFIGS)
def test_log_likelihoods_greedy_flags_and_completions_are_lm_evals(architecture: str, engine: str) -> None:
    model, tokenizer, theirs = reference(architecture)
    ours = EngineLM(model, tokenizer, engine=ENGINES[engine])
    found = ours.loglikelihood(instances("loglikelihood", theirs["pairs"]))
    assert [value for value, _ in found] == pytest.approx([v for v, _ in theirs["loglikelihood"]], rel=1e-6, abs=1e-4)
    assert [flag for _, flag in found] == [flag for _, flag in theirs["loglikelihood"]]
    assert {flag for _, flag in found} == {True, False}
    rolling = ours.loglikelihood_rolling(instances("loglikelihood_rolling", [(text,) for text in TEXTS]))
    assert rolling == pytest.approx(theirs["rolling"], rel=1e-6, abs=1e-4)
    assert ours.generate_until(instances("generate_until", PROMPTS)) == theirs["generate"]


def test_the_requests_reach_beyond_the_context_and_the_completions_differ() -> None:
    _, tokenizer, theirs = reference("llama")
    assert len(tokenizer.encode(LONG)) > CONTEXT + 10
    assert len(set(theirs["generate"])) == len(PROMPTS)
