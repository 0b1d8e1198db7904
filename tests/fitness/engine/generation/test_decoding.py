"""Where completions end, their text, and how they are drawn, against lm-eval's backend and transformers' warpers."""

from __future__ import annotations

from collections import Counter

import pytest
import tokenizers
import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from transformers import PreTrainedTokenizerFast, TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from fitness.engine.generation.decoding import Decoding, draw
from fitness.engine.language_model import Completion, Sampling
from fitness.engine.lm_eval.lm_eval_backend import EngineLM
from fitness.engine.model.memory import Sizes
from fitness.engine.model.tokenizer import Tokenizer
from fitness.engine.scoring.windows import Prompt
from fitness.engine.trie import TrieLanguageModel
from fitness.errors import FitnessError
from tests.fitness.engine.architectures import byte_level_tokenizer
from tests.fitness.engine.reciting import reciting_model

RECITED = "What<pad> is the capital 🙂 sheep\n: dog"  # no token twice
STOPS = {
    "at once": ["at"],
    "inside a token": ["pit"],
    "across tokens": ["the cap"],
    "across a special token": ["at is"],
    "a special token": ["<pad>"],
    "after a character of several tokens": ["🙂 sh"],
    "of two, the first in the text": ["dog", "\n"],
    "never": ["cat"],
    "none": [],
}


@pytest.mark.parametrize("stop", STOPS.values(), ids=STOPS)
@pytest.mark.parametrize("mode", ["packed", "plain"])
def test_a_completion_ends_where_lm_evals_does(mode, stop):
    tokenizer = byte_level_tokenizer()
    ids = tokenizer.encode(RECITED)
    model = reciting_model(ids, len(tokenizer), end_id=tokenizer.eos_token_id)
    prompt = tokenizer.decode(ids[:1])
    request = [Instance("generate_until", {}, (prompt, {"until": stop, "max_gen_toks": 40}), 0)]
    theirs = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=1).generate_until(request, disable_tqdm=True)
    ours = EngineLM(model, tokenizer, engine=lambda tokens: TrieLanguageModel(tokens, mode=mode))
    assert ours.generate_until(request) == theirs
    assert theirs == ["at" if stop == ["<pad>"] else _cut("at is the capital 🙂 sheep\n: dog", stop)]


def _cut(text: str, stop: list[str]) -> str:
    return min((text.partition(s)[0] for s in stop), key=len, default=text)


def test_no_token_is_run_after_a_stop_string():
    tokenizer = byte_level_tokenizer()
    ids = tokenizer.encode(RECITED)
    tokens = Tokenizer(tokenizer, max_length=128, end_ids=frozenset([tokenizer.eos_token_id]))
    for stop in (stop[0] for stop in STOPS.values() if stop):
        decoding = Decoding(Prompt((ids[0],), (stop,), 100), tokens)
        needed = next((n for n in range(1, len(ids)) if stop in tokenizer.decode(ids[1 : 1 + n])), len(ids) - 1)
        for i, token in enumerate(ids[1:], start=1):
            decoding.append(token)
            assert decoding.ended == (stop in tokenizer.decode(ids[1 : 1 + i]))
            if decoding.ended:
                break
        assert len(decoding.ids) == needed


def test_a_stop_string_is_found_though_the_tokenizer_strips_leading_spaces():
    backend = tokenizers.Tokenizer(tokenizers.models.WordLevel({"▁": 0, "a": 1, "b": 2}, unk_token="▁"))
    backend.decoder = tokenizers.decoders.Metaspace()
    tokens = Tokenizer(PreTrainedTokenizerFast(tokenizer_object=backend), max_length=9, end_ids=frozenset())
    assert tokens.decode([0, 1]) == "a"
    decoding = Decoding(Prompt((2,), (" a",), 9), tokens)
    for token in (2, 0, 1):
        assert not decoding.ended
        decoding.append(token)
    assert decoding.ended
    assert decoding.text == "b"


def test_the_random_numbers_of_a_request_come_from_its_seed_and_prompt(tokenizer):
    def numbers(ids: tuple[int, ...], seed: int) -> tuple[float, ...]:
        decoding = Decoding(Prompt(ids, ("e",), 3, Sampling(seed=seed)), tokenizer)
        return tuple(decoding.uniform() for _ in range(3))

    assert numbers((1, 2), 0) == numbers((1, 2), 0)
    assert len({numbers(ids, seed) for ids in [(1, 2), (2, 1), (1,)] for seed in (0, 1)}) == 6


GRID = 20_000
SAMPLINGS = [
    Sampling(),
    Sampling(temperature=0.5),
    Sampling(temperature=3.0, top_k=5),
    Sampling(top_p=0.7),
    Sampling(temperature=1.5, top_k=20, top_p=0.9),
    Sampling(top_k=1000, top_p=1e-9),
]


@pytest.mark.parametrize("sampling", SAMPLINGS, ids=str)
def test_tokens_are_drawn_from_the_distribution_of_transformers_warpers(sampling):
    logits = torch.randn(1, 50, generator=torch.Generator().manual_seed(0)) * 2
    logits[0, 7] = logits[0, 9]  # a tie
    scores = TemperatureLogitsWarper(sampling.temperature)(None, logits.double())
    if sampling.top_k is not None:
        scores = TopKLogitsWarper(sampling.top_k)(None, scores)
    expected = (
        TopPLogitsWarper(sampling.top_p)(None, scores).softmax(-1)[0] if sampling.top_p < 1 else scores.softmax(-1)[0]
    )
    uniforms = (torch.arange(GRID, dtype=torch.float64) + 0.5) / GRID
    counts = torch.bincount(draw(logits.expand(GRID, -1), sampling, uniforms), minlength=50)
    assert torch.allclose(counts.double() / GRID, expected, rtol=0.0, atol=1.01 / GRID)


@pytest.mark.parametrize("mode", ["packed", "plain"])
def test_over_many_seeds_the_next_token_is_as_frequent_as_it_is_likely(model, tokenizer, mode):
    n = 1500
    requests = [Completion("the word ", (), 1, Sampling(temperature=4.0, seed=seed)) for seed in range(n)]
    counts = Counter(TrieLanguageModel(tokenizer, mode=mode).plan(requests).answer(model))
    with torch.no_grad():
        logits = model(torch.tensor([tokenizer.encode("the word ")])).logits[0, -1]
    expected: Counter[str] = Counter()
    for token, probability in enumerate((logits / 4.0).softmax(-1).tolist()):
        expected["" if token in tokenizer.end_ids else tokenizer.decode([token])] += probability
    assert max(expected.values()) < 0.5
    # Four standard deviations of a frequency.
    for text, p in expected.items():
        assert abs(counts[text] / n - p) <= 4 * (p * (1 - p) / n) ** 0.5 + 1 / n


def sampled(seed: int, **options) -> list[Completion]:
    prompts = ["the word ", "the word", "12+30=", "a", "the word is no longer than"]
    return [Completion(prompt, ("e",), 15, Sampling(seed=seed, **options)) for prompt in prompts]


def answers(requests, model, tokenizer, mode="packed", sizes=None) -> list:
    return TrieLanguageModel(tokenizer, mode=mode, sizes=sizes).plan(requests).answer(model)


def test_a_sampled_completion_depends_on_its_seed_and_prompt_and_on_nothing_else(model, tokenizer):
    requests = [*sampled(1, temperature=2.0), *sampled(2, temperature=2.0, top_p=0.95), *sampled(3, temperature=5.0)]
    greedy = [Completion(r.prompt, r.stop, r.max_new_tokens) for r in sampled(0)]
    found = answers(requests, model, tokenizer)
    assert len(set(found)) > 8
    assert answers([*greedy, *reversed(requests)], model, tokenizer)[: len(greedy) - 1 : -1] == found
    assert answers(requests, model, tokenizer, sizes=Sizes(6, 2)) == found
    assert answers(requests, model, tokenizer, mode="plain") == found
    assert [answers([r], model, tokenizer)[0] for r in requests] == found


@pytest.mark.parametrize("options", [{"temperature": 1e-6}, {"top_k": 1}, {"top_p": 1e-9}])
@pytest.mark.parametrize("mode", ["packed", "plain"])
def test_without_chance_a_sampled_completion_is_the_greedy_one(model, tokenizer, mode, options):
    greedy = [Completion(r.prompt, r.stop, r.max_new_tokens) for r in sampled(0)]
    assert answers(sampled(0, **options), model, tokenizer, mode) == answers(greedy, model, tokenizer, mode)


@pytest.mark.parametrize(
    "options",
    [{"temperature": 0.0}, {"temperature": float("nan")}, {"top_k": 0}, {"top_p": 0.0}, {"top_p": 1.1}, {"seed": -1}],
)
def test_sampling_out_of_range_is_refused(options):
    ((name, value),) = options.items()
    with pytest.raises(FitnessError, match=f"{name}: expected .* found {value}"):
        Sampling(**options)
