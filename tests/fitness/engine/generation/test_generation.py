"""Completions in every mode, against transformers' generate and one prompt at a time."""

from __future__ import annotations

import random

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fitness.engine.generation.packed_generation import PackedCompletions
from fitness.engine.generation.padded_generation import padded_completions
from fitness.engine.generation.prompt_trie import PromptTrie
from fitness.engine.language_model import Completion, CompletionLength
from fitness.engine.model.memory import Sizes
from fitness.engine.model.tokenizer import Tokenizer, tokenizer_for
from fitness.engine.scoring.windows import Prompt
from fitness.engine.trie import TrieLanguageModel
from fitness.errors import FitnessError
from tests.fitness.engine.architectures import CONFIGS, byte_level_tokenizer, tiny_model

HEADER = "Question: how many sheep are there? Answer: seven.\n"
PROMPTS = [
    *[Completion(HEADER + f"{question}?", stop, n) for question, stop, n in (
        ("What", ("\n",), 20), ("What is", (), 9), ("What is the dog", ("e", " the"), 30), ("What", ("s",), 3),
        ("Where", (), 1), ("", ("er",), 14), ("What is the capital of France", ("France",), 25),
    )],
    *[Completion(text, (), n) for text, n in (("a", 12), ("The quick brown fox", 30), ("日本", 8), ("The quick", 17))],
]  # fmt: skip
PACKABLE = ("llama", "qwen2", "qwen3", "mistral", "gemma2", "gemma3", "phi3", "gpt_neox", "gpt2", "opt", "mixtral")


def engine_tokenizer(model) -> Tokenizer:
    return tokenizer_for(model.config, byte_level_tokenizer())


def generated_ids(model, tokenizer: Tokenizer, request: Completion) -> list[int]:
    """Return what transformers' generate writes, whatever the stop strings."""
    ids = torch.tensor([tokenizer.encode(request.prompt)[-(tokenizer.max_length - request.max_new_tokens) :]])
    output = model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=request.max_new_tokens,
        do_sample=False,
        eos_token_id=sorted(tokenizer.end_ids),
        pad_token_id=0,
    )
    return output[0, ids.shape[1] :].tolist()


def generated(model, tokenizer: Tokenizer, request: Completion) -> str:
    """Return what transformers' generate says, cut at each stop string in turn, as lm-eval cuts it."""
    text = tokenizer.decode(generated_ids(model, tokenizer, request))
    for stop in request.stop:
        text = text.partition(stop)[0]
    return text


@pytest.mark.parametrize("architecture", CONFIGS)
def test_completions_are_those_of_transformers_generate_whatever_the_architecture(architecture):
    model = tiny_model(architecture, byte_level_tokenizer())
    tokenizer = engine_tokenizer(model)
    expected = [generated(model, tokenizer, request) for request in PROMPTS]
    engine = TrieLanguageModel(tokenizer)
    assert engine.plan(PROMPTS).answer(model) == expected
    is_packed = (
        engine.sizing.mode(model, lambda: pytest.fail("expected the mode that was found on the prompts")) == "packed"
    )
    assert is_packed == (architecture in PACKABLE)
    if is_packed:
        assert TrieLanguageModel(tokenizer, mode="plain").plan(PROMPTS).answer(model) == expected
    assert len(set(expected)) > len(PROMPTS) // 2


@pytest.mark.parametrize("mode", ["packed", "plain"])
def test_the_length_of_a_completion_is_that_of_what_transformers_generates_and_is_written_once(mode, monkeypatch):
    model = tiny_model("llama", byte_level_tokenizer())
    tokenizer = engine_tokenizer(model)
    requests = [Completion(p.prompt, (), p.max_new_tokens) for p in PROMPTS]
    expected = [len(generated_ids(model, tokenizer, request)) for request in requests]
    engine = TrieLanguageModel(tokenizer, mode=mode)
    counted = []
    forward = model.forward
    monkeypatch.setattr(model, "forward", lambda *args, **more: counted.append(1) or forward(*args, **more))
    engine.plan(requests).answer(model)  # how it is run is found once
    counted.clear()
    texts = engine.plan(requests).answer(model)
    n_passes = len(counted)
    both = engine.plan([*requests, *map(CompletionLength, requests)]).answer(model)
    assert both == [*texts, *expected]
    assert len(counted) == 2 * n_passes, "lengths take no pass of their own"


def test_tokens_of_a_stop_string_count():
    model = tiny_model("llama", byte_level_tokenizer())
    tokenizer = engine_tokenizer(model)
    ids = generated_ids(model, tokenizer, Completion("The quick", (), 12))
    stop = tokenizer.decode(ids[:4])[-1]  # ends the completion with its first token that has it
    first = next(n for n in range(1, 13) if stop in tokenizer.decode(ids[:n]))
    asked = CompletionLength(Completion("The quick", (stop,), 12))
    assert TrieLanguageModel(tokenizer).plan([asked]).answer(model) == [first]


prompts = st.lists(
    st.builds(
        Prompt,
        ids=st.lists(st.integers(4, 7), min_size=1, max_size=20).map(tuple),
        stop=st.sampled_from([(), ("a",), ("b", "cd")]),
        max_new_tokens=st.integers(1, 9),
    ),
    min_size=1,
    max_size=12,
    unique=True,
)


@given(
    prompts,
    st.builds(Sizes, tokens=st.integers(1, 60), reads=st.integers(1, 9), kept=st.integers(1, 2**16)),
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_packed_completions_depend_on_nothing_but_their_prompt(model, tokenizer, prompts, sizes):
    alone = [one for prompt in prompts for one in padded_completions(model, [prompt], sizes, tokenizer)]
    assert PackedCompletions(model, PromptTrie(prompts), sizes, tokenizer).written() == alone
    assert padded_completions(model, prompts, sizes, tokenizer) == alone


def test_completions_of_several_headers_at_once_are_those_of_each_header(model, tokenizer):
    headers = [letter * 60 for letter in "abcd"]
    requests = [Completion(h + f" question {i}", (), 5 + 4 * i) for i in range(4) for h in headers]
    random.Random(0).shuffle(requests)
    expected = [TrieLanguageModel(tokenizer, mode="plain").plan([r]).answer(model)[0] for r in requests]
    assert TrieLanguageModel(tokenizer, mode="packed").plan(requests).answer(model) == expected
    assert len(set(expected)) > len(requests) // 2


class Passes:
    """Counts what goes through a model.

    Attributes:
        tokens: of each forward pass.
        logits: of each forward pass, how many positions had any.
    """

    def __init__(self, model: torch.nn.Module) -> None:
        self.tokens: list[int] = []
        self.logits: list[int] = []
        self._hooks = [
            model.register_forward_pre_hook(lambda _, inputs: self.tokens.append(inputs[0].numel())),
            model.get_output_embeddings().register_forward_hook(
                lambda _, __, output: self.logits.append(output.shape[:-1].numel())
            ),
        ]

    def __enter__(self) -> Passes:
        return self

    def __exit__(self, *_: object) -> None:
        for hook in self._hooks:
            hook.remove()


def test_what_prompts_share_is_run_once_and_only_live_completions_have_logits(model, tokenizer):
    tokenizer = Tokenizer(tokenizer.pretrained, max_length=128, end_ids=frozenset())  # no completion ends early
    requests = [Completion("a header that all share " + end, (), 6) for end in ("one", "two", "three", "one?")]
    plan = TrieLanguageModel(tokenizer, mode="packed", sizes=Sizes(100, 100)).plan(requests)
    with Passes(model) as passes:
        plan.answer(model)
    prompt_nodes = len("a header that all share ") + len("one") + len("two"[1:]) + len("hree")
    # All but the last token of "three", "two" and "one?" is run once; each completion then runs six tokens.
    assert sum(passes.tokens) == prompt_nodes - 1 + 4 * 6
    assert sum(passes.logits) == 4 * 6


def test_a_completion_that_ends_leaves_its_slot_to_the_next_prompt_at_once(model, tokenizer):
    tokenizer = Tokenizer(tokenizer.pretrained, max_length=128, end_ids=frozenset())
    requests = [Completion("x", (), 12), *(Completion(letter, (), 3) for letter in "abcd")]
    with Passes(model) as passes:
        TrieLanguageModel(tokenizer, mode="packed", sizes=Sizes(100, 2)).plan(requests).answer(model)
    # The first pass shows what a token takes; from then on both slots are in use.
    assert passes.logits == [1, *[2] * 11, 1]


def test_what_no_prompt_needs_any_more_is_forgotten(model, tokenizer):
    texts = ["abcd", "abce", "abcd more", "efg", "efg longer", "efgh", "ij"]
    trie = PromptTrie([Prompt(tuple(tokenizer.encode(text)), (), 5) for text in texts])
    completions = PackedCompletions(model, trie, Sizes(6, 2), tokenizer)
    n_kept: list[int] = []
    with model.register_forward_pre_hook(lambda *_: n_kept.append(len(completions.trunk.nodes))):
        completions.written()
    assert 0 < max(n_kept) < len(trie.trie)
    assert len(completions.trunk.nodes) == 0


def test_keys_and_values_that_are_kept_stay_within_the_budget(model, tokenizer):
    tokenizer = Tokenizer(tokenizer.pretrained, max_length=128, end_ids=frozenset())
    bytes_per_token = 2 * 2 * 2 * 8 * 4  # layers, keys and values, heads, their size, float32
    sizes = Sizes(20, 20, kept=bytes_per_token * (10 + 3 * 11))  # ten shared, three slots of eleven
    requests = [Completion("x" * 10 + letter, (), 10) for letter in "abcdefg"]
    with Passes(model) as passes:
        TrieLanguageModel(tokenizer, mode="packed", sizes=sizes).plan(requests).answer(model)
    assert max(passes.logits) == 3


def test_where_memory_runs_out_passes_become_smaller_and_stay_so(model, tokenizer):
    requests = [Completion(f"header {i}", (), 4) for i in range(30)]
    expected = TrieLanguageModel(tokenizer, mode="packed").plan(requests).answer(model)
    failures = []

    def crowded(_: torch.nn.Module, inputs: tuple[torch.Tensor]) -> None:
        if inputs[0].numel() > 17:
            failures.append(inputs[0].numel())
            raise torch.OutOfMemoryError("out of memory")

    plan = TrieLanguageModel(tokenizer, mode="packed", sizes=Sizes(64, 64)).plan(requests)
    with model.register_forward_pre_hook(crowded):
        assert plan.answer(model) == expected
        n_failures = len(failures)
        assert n_failures > 0
        assert plan.answer(model) == expected
        assert len(failures) == n_failures


def test_a_completion_for_which_there_is_no_memory_is_an_error(model, tokenizer):
    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("out of memory")

    plan = TrieLanguageModel(tokenizer, mode="packed", sizes=Sizes(4, 4)).plan([Completion("a", (), 2)])
    with model.register_forward_pre_hook(full), pytest.raises(FitnessError, match="does not fit in memory"):
        plan.answer(model)
