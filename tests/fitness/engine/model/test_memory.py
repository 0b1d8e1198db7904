"""What passes and slots a budget takes, for the sizes of real models, without any of them."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fitness.engine.language_model import DEFAULT_BUDGET
from fitness.engine.model.memory import (
    Completions,
    Sizes,
    device_budget,
    gpu_budget,
    n_slots,
    planned_sizes,
    room_in_share,
)

GIB = 2**30
# Bytes of keys and values of a token; width of the widest layer; vocabulary; bfloat16 weights, in GB.
MODELS = {
    "SmolLM2-135M": (23_040, 1_536, 49_152, 0.3),
    "Llama-3.2-1B": (32_768, 8_192, 128_256, 2.5),
    "Qwen2.5-7B": (57_344, 18_944, 152_064, 15),
    "Llama-3.2-3B": (114_688, 8_192, 128_256, 6.4),
    "Llama-3.1-8B": (131_072, 14_336, 128_256, 16),
    "Qwen3-8B": (147_456, 12_288, 151_936, 16.4),
    "Llama-2-7B": (524_288, 11_008, 32_000, 13.5),
    "Llama-3-70B": (327_680, 28_672, 128_256, 141),
}
ANSWERS = (256, 512, 1280)  # tokens at most


def slots(model: str, budget: int, *, shared: int = 900, own: int = 120) -> list[int]:
    """Return how many completions of each length are in progress at once on a GPU with so many bytes to spare."""
    n_bytes, width, n_vocabulary, _ = MODELS[model]
    sizes = planned_sizes(budget, per_token=3 * 4 * width, n_vocabulary=n_vocabulary, on_gpu=True)
    needs = Completions(n_prompts=500, most_shared=shared, most_own=own, capacity=0)
    return [n_slots(sizes, replace(needs, capacity=own + n), bytes_per_token=n_bytes) for n in ANSWERS]


def free_on(card: float, model: str) -> int:
    """Return the budget on a card of so many GB that holds a model."""
    total = int(card * 1e9)
    return gpu_budget(free=total - int(MODELS[model][3] * 1e9), total=total)


@pytest.mark.parametrize("model", ["Llama-3.2-1B", "Qwen2.5-7B", "Llama-3.2-3B", "Llama-3.1-8B", "Qwen3-8B"])
def test_a_card_of_80_gb_runs_64_completions_and_more_of_models_up_to_8b(model):
    assert min(slots(model, free_on(80, model))) >= 64


def test_where_keys_and_values_are_largest_80_gb_still_run_many_completions():
    assert slots("Llama-2-7B", free_on(80, "Llama-2-7B"))[0] >= 64
    assert min(slots("Llama-2-7B", free_on(80, "Llama-2-7B"))) >= 32
    assert min(slots("Llama-3-70B", free_on(160, "Llama-3-70B"))) >= 8  # 19 GB are left of it


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("gib", [4, 16, 40])
def test_no_model_runs_one_completion_at_a_time_where_there_is_room_for_more(model, gib):
    """These were 1 / 1 / 1 for every model from 3B at 4 GiB, as 8,192 tokens were set aside for prompts."""
    n_bytes = MODELS[model][0]
    room = gib * GIB // 4 // n_bytes - 900  # tokens, in a quarter of the budget
    for n, answer in zip(slots(model, gib * GIB), ANSWERS, strict=True):
        assert n >= max(1, min(256, room // (2 * 120 + answer)))
    assert slots(model, gib * GIB)[0] > 1


@given(
    budget=st.integers(2**20, 2**40),
    per_token=st.integers(1, 10**6),
    n_vocabulary=st.integers(1, 300_000),
    on_gpu=st.booleans(),
)
def test_passes_logits_and_kept_keys_fit_in_the_budget_together(budget, per_token, n_vocabulary, on_gpu):
    sizes = planned_sizes(budget, per_token=per_token, n_vocabulary=n_vocabulary, on_gpu=on_gpu)
    assert min(sizes.tokens, sizes.reads, sizes.kept) >= 1
    if sizes.tokens > 1 and sizes.reads > 1:  # one token, and one that is read, are run whatever they take
        assert sizes.tokens * per_token + sizes.reads * 12 * n_vocabulary + sizes.kept <= budget + 1


@given(
    kept=st.integers(1, 10**7),
    tokens=st.integers(2, 8192),
    most_shared=st.integers(0, 4000),
    most_own=st.integers(0, 4000),
    answer=st.integers(1, 4000),
)
def test_slots_the_shared_prompt_and_the_piece_to_come_fit_in_what_is_kept(kept, tokens, most_shared, most_own, answer):
    needs = Completions(n_prompts=10**6, most_shared=most_shared, most_own=most_own, capacity=most_own + answer)
    n = n_slots(Sizes(tokens, 10**6, kept, most_slots=256), needs, bytes_per_token=1)
    if n > 1:
        assert most_shared + min(tokens, n * most_own) + n * needs.capacity <= kept


def test_what_a_cpu_takes_is_what_it_always_took():
    sizes = planned_sizes(DEFAULT_BUDGET, per_token=30_000, n_vocabulary=49_152, on_gpu=False)
    assert sizes == Sizes(tokens=512, reads=GIB // (12 * 49_152), kept=GIB)
    assert device_budget(torch.device("cpu")) == DEFAULT_BUDGET
    needs = Completions(n_prompts=500, most_shared=900, most_own=120, capacity=376)
    assert n_slots(sizes, needs, bytes_per_token=46_080) == (GIB // 46_080 - 900 - 512) // 376


def test_who_shares_a_gpu_takes_its_own_part_of_what_is_free_on_all_of_it():
    free, total = room_in_share(0.5, free=70 * GIB, total=80 * GIB, own=10 * GIB)
    assert (free, total) == (30 * GIB, 40 * GIB)
    assert gpu_budget(free=free, total=total) == 27 * GIB  # less a reserve of 1 GiB, and a twentieth of its part
    assert room_in_share(0.5, free=5 * GIB, total=80 * GIB, own=10 * GIB)[0] == 5 * GIB  # others took more than theirs


def test_a_crowded_gpu_leaves_a_budget_all_the_same():
    assert gpu_budget(free=10**8, total=80 * 10**9) == 2**28
