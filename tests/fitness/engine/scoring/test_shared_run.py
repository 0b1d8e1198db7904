"""Several models that share layers: the same answers as one by one, bit for bit, with fewer layers executed."""

from __future__ import annotations

import copy
import logging
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import LlamaForCausalLM

from fitness.engine.language_model import (
    Answer,
    Completion,
    Continuation,
    Distributions,
    NextTokens,
    Request,
    WholeText,
)
from fitness.engine.model.memory import Sizes
from fitness.engine.model.tokenizer import Tokenizer, load_tokenizer
from fitness.engine.scoring.layer_trie import LayerTrie, layered
from fitness.engine.scoring.readout import Mode
from fitness.engine.trie import TrieLanguageModel
from fitness.errors import FitnessError
from tests.conftest import tiny_config
from tests.fitness.engine.architectures import CONFIGS, byte_level_tokenizer, save, tiny_model
from tests.fitness.engine.paths import N_LAYERS, Executions, Path, along, make_bank

HEADER = "two and two is four. "
REQUESTS: list[Request] = [
    *(Continuation(f"{HEADER}{i} and {i} is", f" {answer}") for i in range(6) for answer in (i, 2 * i, "many")),
    NextTokens(HEADER, 2),  # read before the others need what was kept here
    WholeText("a text of its own"),
    NextTokens(f"{HEADER}what comes next", 3),
]
PATHS: list[Path] = [
    [(0, 1.0), (1, 1.0), (2, 1.0)],
    [(0, 1.0), (1, 1.0), (1, 1.0), (2, 1.0)],
    [(1, 1.0), (0, 1.0)],
    [(0, 1.0), (1, 1.0), (2, 0.5), (0, 1.0), (2, 1.0)],
    [(0, 1.0), (1, 1.0)],
    [(0, 1.0), (1, 1.0), (2, 1.0)],
]
LARGE = Sizes(tokens=512, reads=512)
SMALL = Sizes(tokens=24, reads=24)


@pytest.fixture(scope="module")
def bank() -> LlamaForCausalLM:
    return make_bank()


def assert_equal(together: list[Answer] | FitnessError, alone: list[Answer]) -> None:
    assert not isinstance(together, FitnessError), together
    for a, b in zip(together, alone, strict=True):
        if isinstance(a, Distributions):
            assert isinstance(b, Distributions)
            assert np.array_equal(a.log_probabilities, b.log_probabilities)
        else:
            assert a == b


def check(
    models: Sequence[LlamaForCausalLM], tokenizer: Tokenizer, sizes: Sizes, requests: Sequence[Request] = REQUESTS
) -> float:
    """Check that models together answer what each alone does; return what share of the layers was executed."""
    alone = TrieLanguageModel(tokenizer, mode="packed", sizes=sizes).plan(requests)
    expected = [alone.answer(model) for model in models]
    plan = TrieLanguageModel(tokenizer, mode="packed", sizes=sizes).plan(requests)
    executions = Executions(models)
    for together, each in zip(plan.answer_together(models), expected, strict=True):
        assert_equal(together, each)
    layers = plan.layers
    assert executions.count == layers.run
    return layers.run / layers.asked


@pytest.mark.parametrize("sizes", [SMALL, LARGE])
def test_answers_equal_those_of_each_model_alone(bank, tokenizer, sizes):
    n_nodes, n_layers = 10, sum(map(len, PATHS))
    assert check([along(bank, path) for path in PATHS], tokenizer, sizes) == n_nodes / n_layers


def test_layers_may_write_into_the_hidden_states_that_they_are_given(bank, tokenizer):
    paths = [[(layer, 0.5) for layer in layers] for layers in ((0, 1, 2), (0, 1, 1, 2), (0, 1, 1, 0), (1, 0))]
    assert check([along(bank, path, in_place=True) for path in paths], tokenizer, SMALL) == 8 / 13


layer = st.tuples(st.integers(0, N_LAYERS - 1), st.sampled_from([1.0, 0.5]))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    paths=st.lists(st.lists(layer, min_size=1, max_size=5), min_size=1, max_size=6),
    n_tokens=st.integers(4, 60),
    kept=st.sampled_from([1, 2000, 20_000, 10**9]),
)
def test_answers_equal_those_of_each_model_alone_whatever_the_paths_and_the_memory(
    bank, tokenizer, paths, n_tokens, kept
):
    check([along(bank, path) for path in paths], tokenizer, Sizes(n_tokens, n_tokens, kept), REQUESTS[3:9])


def test_the_less_memory_for_what_is_kept_the_more_layers_are_executed_again(bank, tokenizer):
    models = [along(bank, path) for path in PATHS]
    shares = [check(models, tokenizer, Sizes(24, 24, kept)) for kept in (10**9, 30_000, 1)]
    assert shares[0] < shares[1] < shares[2] == 1.0


def test_models_of_other_embeddings_share_nothing(bank, tokenizer):
    models = [along(bank, PATHS[0]), along(bank, PATHS[0])]
    models[1].model.embed_tokens.weight = torch.nn.Parameter(bank.model.embed_tokens.weight * 1.5)
    models[1].tie_weights()
    assert check(models, tokenizer, LARGE) == 1.0


def test_models_may_differ_in_what_follows_the_layers(bank, tokenizer):
    models = [along(bank, PATHS[0]), along(bank, PATHS[0])]
    models[1].model.norm.weight = torch.nn.Parameter(bank.model.norm.weight * 1.5)
    assert check(models, tokenizer, LARGE) == 0.5
    plan = TrieLanguageModel(tokenizer).plan(REQUESTS[:1])
    first, second = plan.answer_together(models)
    assert first != second


def test_models_whose_layers_have_no_keys_are_run_one_by_one(bank, tokenizer):
    plan = TrieLanguageModel(tokenizer, mode="packed", sizes=LARGE).plan(REQUESTS)
    for together in plan.answer_together([bank, bank]):
        assert_equal(together, plan.answer(bank))
    assert plan.layers.asked == 0


@pytest.mark.parametrize("mode", ["packed", "prefix", "plain"])
def test_completions_and_other_modes_are_run_one_by_one(bank, tokenizer, mode: Mode):
    requests = [*REQUESTS, Completion("the word ", ("e",), 8)]
    models = [along(bank, path) for path in PATHS[:3]]
    plan = TrieLanguageModel(tokenizer, mode=mode, sizes=LARGE).plan(requests)
    for model, together in zip(models, plan.answer_together(models), strict=True):
        assert_equal(together, plan.answer(model))
    assert (plan.layers.run > 0) == (mode == "packed")


def test_after_running_together_every_model_is_as_it_was(bank, tokenizer):
    models = [along(bank, path) for path in PATHS]
    before = [[dict(vars(module)) for module in model.modules()] for model in models]
    TrieLanguageModel(tokenizer, mode="packed", sizes=SMALL).plan(REQUESTS).answer_together(models)
    assert [[vars(module).keys() for module in model.modules()] for model in models] == [
        [each.keys() for each in of_model] for of_model in before
    ]
    assert all("forward" not in vars(module) for model in models for module in model.modules())


@pytest.mark.parametrize("requests", [REQUESTS, REQUESTS[:6]], ids=["with distributions", "likelihoods only"])
@pytest.mark.parametrize("mode", ["packed", None], ids=["packed", "probed"])
@pytest.mark.parametrize("place", range(4))
def test_a_model_that_is_not_finite_fails_alone(bank, tokenizer, place, mode, requests):
    def models() -> list[LlamaForCausalLM]:
        made = [along(bank, path) for path in PATHS[:4]]
        last = made[place].model.layers[-1]
        last.mlp.down_proj.weight = torch.nn.Parameter(torch.full_like(last.mlp.down_proj.weight, torch.nan))
        last.layer_key = "not finite"
        return made

    alone = TrieLanguageModel(tokenizer, mode=mode, sizes=SMALL).plan(requests)
    together = TrieLanguageModel(tokenizer, mode=mode, sizes=SMALL).plan(requests).answer_together(models())
    for i, (model, answers) in enumerate(zip(models(), together, strict=True)):
        if i == place:
            assert isinstance(answers, FitnessError)
            with pytest.raises(FitnessError, match="not finite"):
                alone.answer(model)
        else:
            assert_equal(answers, alone.answer(model))


def test_where_memory_runs_out_fewer_models_are_run_at_once(bank, tokenizer):
    models = [along(bank, path) for path in PATHS]
    plan = TrieLanguageModel(tokenizer, mode="packed", sizes=LARGE).plan(REQUESTS)
    expected = [plan.answer(model) for model in models]
    errors = [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("DefaultCPUAllocator: can't allocate memory")]

    def fail(*_: object) -> None:
        if errors:
            raise errors.pop()

    models[3].model.norm.register_forward_hook(fail)
    for together, each in zip(plan.answer_together(models), expected, strict=True):
        assert_equal(together, each)
    assert not errors


def test_any_other_error_passes_through(bank, tokenizer):
    models = [along(bank, path) for path in PATHS]

    def fail(*_: object) -> None:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    plan = TrieLanguageModel(tokenizer, mode="packed", sizes=LARGE).plan(REQUESTS)
    models[3].model.norm.register_forward_hook(fail)
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        plan.answer_together(models)


@pytest.mark.parametrize("architecture", [name for name in CONFIGS if name not in {"bloom", "mamba"}])
def test_models_of_every_architecture_share_their_first_layers(architecture, tmp_path):
    first = tiny_model(architecture, byte_level_tokenizer())
    tokenizer = load_tokenizer(save(first, byte_level_tokenizer(), tmp_path))
    layers = next(module for module in first.modules() if isinstance(module, torch.nn.ModuleList))
    for place, layer in enumerate(layers):
        layer.layer_key = place
    second = copy.deepcopy(first, {id(parameter): parameter for parameter in first.parameters()})
    last = next(module for module in second.modules() if isinstance(module, torch.nn.ModuleList))[-1]
    last.layer_key = "other"
    for module in last.modules():
        for name, parameter in module.named_parameters(recurse=False):
            setattr(module, name, torch.nn.Parameter(parameter * 1.1))
    plan = TrieLanguageModel(tokenizer, sizes=SMALL).plan(REQUESTS[:9])
    expected = [plan.answer(first), plan.answer(second)]
    assert expected[0] != expected[1]
    for together, alone in zip(plan.answer_together([first, second]), expected, strict=True):
        assert_equal(together, alone)
    assert plan.layers.run * 4 == plan.layers.asked * 3


def test_models_of_any_depth_are_of_one_kind_and_probed_once(bank, tokenizer, caplog):
    engine = TrieLanguageModel(tokenizer)
    models = [along(bank, path) for path in PATHS]
    executions = Executions(models)
    engine.sizing.mode(models[0], lambda: [])
    engine.sizing.sizes(models[0])
    executions.count = 0
    with caplog.at_level(logging.WARNING):
        assert {engine.sizing.mode(model, lambda: []) for model in models} == {"packed"}
        assert len({engine.sizing.sizes(model) for model in models}) == 1
    elsewhere = along(bank, PATHS[0])
    elsewhere.config._name_or_path = "/another/directory"
    assert engine.sizing.mode(elsewhere, lambda: []) == "packed"
    assert executions.count == 0
    wider = LlamaForCausalLM(tiny_config(layers=2, hidden=64)).eval()
    assert engine.sizing.sizes(wider)
    assert TrieLanguageModel(tokenizer).plan(REQUESTS).answer_together([*models[:2], wider])


def test_a_trie_is_walked_depth_first():
    def model(path: str) -> torch.nn.Module:
        module = torch.nn.Module()
        module.layers = torch.nn.ModuleList(torch.nn.Linear(1, 1) for _ in path)
        for key, each in zip(path, module.layers, strict=True):
            each.layer_key = key
        module.get_input_embeddings = lambda: EMBEDDINGS
        return module

    found = [layered(model(path)) for path in ("abcd", "xy", "abce", "ab", "abcd", "xyz")]
    trie = LayerTrie([each for each in found if each is not None])
    assert [trie.shared[i] for i in range(len(found))] == [0, 2, 4, 3, 0, 2]
    assert [sorted(trie.branches(i)) for i in range(len(found))] == [[2], [3, 4], [3], [], [2], []]
    assert sorted(trie.order) == list(range(6))


EMBEDDINGS = torch.nn.Embedding(2, 1)


@pytest.mark.parametrize("strange", ["one layer without a key", "two lists", "no layers"])
def test_a_model_whose_layers_are_not_one_list_of_keyed_layers_is_not_told_apart(bank, strange):
    model = along(bank, PATHS[0])
    if strange == "one layer without a key":
        del model.model.layers[1].layer_key
    elif strange == "two lists":
        model.others = torch.nn.ModuleList([torch.nn.Linear(1, 1)])
        model.others[0].layer_key = "other"
    else:
        model = torch.nn.Linear(1, 1)
    assert layered(model) is None
