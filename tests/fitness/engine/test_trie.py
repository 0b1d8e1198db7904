"""The engine in every mode, against lm-eval's Hugging Face backend, transformers' generate, and single requests."""

from __future__ import annotations

import math
import random
from typing import get_args

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from lm_eval.utils import get_rolling_token_windows
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM

from fitness.engine.language_model import (
    Completion,
    CompletionLength,
    Continuation,
    LogLikelihood,
    NextTokens,
    Request,
    WholeText,
)
from fitness.engine.model.memory import Sizes, fitting_sizes
from fitness.engine.model.tokenizer import Tokenizer, load_tokenizer
from fitness.engine.scoring.packed import PackedLayout
from fitness.engine.scoring.readout import Mode
from fitness.engine.scoring.rows import RowLayout
from fitness.engine.scoring.windows import Window, rolling_windows
from fitness.engine.token_count import TokenCount
from fitness.engine.trie import TrieLanguageModel
from fitness.errors import FitnessError
from tests.conftest import CHARACTERS, Family, make_family, save_tokenizer, tiny_config

LONG = "a long context " * 20  # longer than the model's 128 positions

CONTINUATIONS = [
    Continuation(context, continuation)
    for context in ("", "what is", "what is ", "two\n\n", LONG)
    for continuation in ("a", " b", "cat dog", "x" * 30)
]
TEXTS = [WholeText("hello " * n) for n in (1, 5, 21, 22, 60)]
COMPLETIONS = [
    Completion(prompt, stop, n)
    for prompt in ("the word ", "12+30=", "the", LONG)
    for stop, n in ((("e", "7 "), 20), ((), 12), (("\n",), 40))
]
MODES: tuple[Mode, ...] = get_args(Mode)
REQUESTS: list[Request] = [*CONTINUATIONS, *TEXTS, *COMPLETIONS]


@pytest.fixture(scope="module")
def reference(model, family: Family) -> HFLM:
    return HFLM(pretrained=model, tokenizer=AutoTokenizer.from_pretrained(family.base), batch_size=1)


def instances(kind: str, arguments: list[tuple[object, ...]]) -> list[Instance]:
    return [Instance(kind, {}, argument, 0) for argument in arguments]


def answers(
    requests: list[Request], model, tokenizer: Tokenizer, mode: Mode | None = None, sizes: Sizes | None = None
) -> list:
    return TrieLanguageModel(tokenizer, mode=mode, sizes=sizes).plan(requests).answer(model)


@pytest.mark.parametrize("mode", MODES)
def test_log_likelihoods_and_greedy_flags_equal_lm_evals(model, tokenizer, reference, mode):
    greedy = greedy_continuations(model, tokenizer)
    requests = [*CONTINUATIONS, *greedy]
    ours = answers(requests, model, tokenizer, mode)
    theirs = reference.loglikelihood(
        instances("loglikelihood", [(r.context, r.continuation) for r in requests]), disable_tqdm=True
    )
    assert [a.value for a in ours] == pytest.approx([value for value, _ in theirs], rel=1e-6, abs=1e-4)
    assert [a.is_greedy for a in ours] == [flag for _, flag in theirs]
    assert {a.is_greedy for a in ours} == {True, False}


def greedy_continuations(model, tokenizer) -> list[Continuation]:
    prompts = ["what is", "the word x", "abc"]
    texts = answers([Completion(p, (), 3) for p in prompts], model, tokenizer)
    return [Continuation(p, text) for p, text in zip(prompts, texts, strict=True)]


@pytest.mark.parametrize("mode", MODES)
def test_rolling_log_likelihoods_equal_lm_evals(model, tokenizer, reference, mode):
    theirs = reference.loglikelihood_rolling(
        instances("loglikelihood_rolling", [(r.text,) for r in TEXTS]), disable_tqdm=True
    )
    assert [a.value for a in answers(TEXTS, model, tokenizer, mode)] == pytest.approx(theirs, rel=1e-6, abs=1e-4)


def test_greedy_completions_equal_lm_evals(model, tokenizer, reference):
    theirs = reference.generate_until(
        instances(
            "generate_until",
            [(r.prompt, {"until": list(r.stop), "max_gen_toks": r.max_new_tokens}) for r in COMPLETIONS],
        ),
        disable_tqdm=True,
    )
    ours = answers(COMPLETIONS, model, tokenizer)
    assert ours == theirs
    assert len(set(ours)) > len(COMPLETIONS) // 2


@pytest.mark.parametrize("bos", ["added by the tokenizer", "added and written in the text"])
def test_a_tokenizer_that_adds_bos_is_followed_as_lm_eval_follows_it(model, family, tmp_path, bos):
    from tokenizers.processors import TemplateProcessing

    hf = AutoTokenizer.from_pretrained(family.base)
    hf.backend_tokenizer.post_processor = TemplateProcessing("<s> $A", None, [("<s>", hf.bos_token_id)])
    hf.save_pretrained(tmp_path)
    model.config.save_pretrained(tmp_path)
    start = "<s>" if "written" in bos else ""
    requests = [Continuation(start + r.context, r.continuation) for r in CONTINUATIONS]
    reference = HFLM(pretrained=model, tokenizer=AutoTokenizer.from_pretrained(tmp_path), batch_size=1)
    theirs = reference.loglikelihood(
        instances("loglikelihood", [(r.context, r.continuation) for r in requests]), disable_tqdm=True
    )
    ours = answers(requests, model, load_tokenizer(tmp_path))
    assert [a.value for a in ours] == pytest.approx([value for value, _ in theirs], rel=1e-6, abs=1e-4)


@pytest.mark.parametrize("sizes", [Sizes(1, 1), Sizes(13, 100), Sizes(100, 7)])
@pytest.mark.parametrize("mode", MODES)
def test_answers_depend_neither_on_the_batch_size_nor_on_the_order(model, tokenizer, mode, sizes):
    shuffled = random.Random(0).sample(REQUESTS, len(REQUESTS))
    expected = dict(zip(REQUESTS, answers(REQUESTS, model, tokenizer), strict=True))
    for request, answer in zip(shuffled, answers(shuffled, model, tokenizer, mode, sizes), strict=True):
        if isinstance(answer, LogLikelihood):
            assert answer.value == pytest.approx(expected[request].value, abs=1e-4)
            assert answer.is_greedy == expected[request].is_greedy
        else:
            assert answer == expected[request]


ARCHITECTURES = {
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128},
    "gemma2": {"head_dim": 8, "sliding_window": 8, "final_logit_softcapping": 0.3},
    "bloom": {"n_layer": 2, "n_head": 4},
    "granite": {"logits_scaling": 4.0},
    "mamba": {"state_size": 4},
    "lfm2": {"layer_types": ["conv", "full_attention"]},
}


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_other_architectures_answer_as_one_request_at_a_time(kind, family, tokenizer):
    model = tiny_architecture(kind)
    requests: list[Request] = [*CONTINUATIONS[4:12], *COMPLETIONS[:9]]
    for request, answer in zip(requests, answers(requests, model, tokenizer), strict=True):
        if isinstance(request, Continuation):
            context, continuation = tokenizer.encode_pair(request.context, request.continuation)
            assert answer.value == pytest.approx(plain_log_likelihood(model, context, continuation), abs=1e-4)
        else:
            assert answer == generated(model, tokenizer, request)


def tiny_architecture(kind: str) -> torch.nn.Module:
    from transformers import AutoConfig

    shape = {} if kind in ("gpt2", "bloom") else {"intermediate_size": 64, "num_hidden_layers": 2}
    if kind in ("gemma2", "granite", "lfm2"):
        shape |= {"num_attention_heads": 4, "num_key_value_heads": 2}
    config = AutoConfig.for_model(
        kind,
        vocab_size=4 + len(CHARACTERS) + 1,
        **({} if kind == "gpt2" else {"hidden_size": 32}),
        **shape,
        **ARCHITECTURES[kind],
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
    )
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.mul_(6.0)
    return model


def plain_log_likelihood(model, context: list[int], continuation: list[int]) -> float:
    with torch.no_grad():
        logits = model(torch.tensor([context + continuation])).logits[0].double().log_softmax(-1)
    return sum(logits[len(context) + i - 1, token].item() for i, token in enumerate(continuation))


def generated(model, tokenizer: Tokenizer, request: Completion) -> str:
    ids = torch.tensor([tokenizer.encode(request.prompt)])
    with torch.no_grad():
        for _ in range(request.max_new_tokens):
            ids = torch.cat([ids, model(ids).logits[:, -1:].argmax(-1)], dim=1)
            if ids[0, -1].item() in tokenizer.end_ids:
                break
    text = tokenizer.decode(ids[0, len(tokenizer.encode(request.prompt)) :].tolist())
    for stop in request.stop:
        text = text.split(stop)[0]
    return text


def test_the_output_layer_runs_only_where_logits_are_needed(model, tokenizer):
    positions = []
    head = model.get_output_embeddings()
    with head.register_forward_hook(lambda _, inputs, output: positions.append(inputs[0].shape[:-1].numel())):
        requests = [Continuation("a context of many tokens", c) for c in (" a", " b", " ab", " abcd")]
        answers(requests, model, tokenizer, "packed", Sizes(100, 100))
    # After "tokens", "tokens ", "tokens a", "tokens ab" and "tokens abc".
    assert positions == [5]


def test_what_requests_share_is_run_once(model, tokenizer):
    shapes = []
    requests = [Continuation("question?", c) for c in [" a", " b", " c", " d", " a", " dog"]]
    engine = TrieLanguageModel(tokenizer, mode="packed", sizes=Sizes(100, 100))
    with model.register_forward_pre_hook(lambda _, inputs: shapes.append(tuple(inputs[0].shape))):
        engine.plan(requests).answer(model)
    assert shapes == [(1, len("question? do"))]
    assert engine.tally.count == TokenCount(prompt=len("question? do"))


@pytest.mark.parametrize("mode", ["packed", "plain"])
def test_tokens_that_are_written_are_counted_beside_those_of_the_prompts(model, tokenizer, mode):
    engine = TrieLanguageModel(tokenizer, mode=mode)
    requests = [Completion(prompt, (), 5) for prompt in ("question? a", "question? b")]
    plan = engine.plan([*requests, *map(CompletionLength, requests)])
    lengths = [answer for answer in plan.answer(model) if isinstance(answer, int)]
    shared = len("question? ") if mode == "packed" else 0
    assert engine.tally.count == TokenCount(prompt=2 * len("question? a") - shared, generated=sum(lengths))


def test_a_module_without_an_output_layer_is_scored_from_its_full_logits(tokenizer):
    class Bigram(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(1)
            self.table = torch.nn.Embedding(tokenizer.n_tokens, tokenizer.n_tokens)

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            return self.table(ids)

    model = Bigram()
    a, b = tokenizer.encode("ab")
    score, text = answers([Continuation("a", "b"), Completion("a", (), 2)], model, tokenizer)
    weights = model.table.weight.detach()
    assert score.value == pytest.approx(weights[a].log_softmax(-1)[b].item(), abs=1e-5)
    second = weights[a].argmax()
    assert text == tokenizer.decode([second.item(), weights[second].argmax().item()])


def test_scoring_puts_the_model_in_evaluation_mode(family, tokenizer):
    torch.manual_seed(0)
    model = LlamaForCausalLM(tiny_config(attention_dropout=0.5)).train()
    first, second = (answers(CONTINUATIONS, model, tokenizer) for _ in range(2))
    assert first == second


def test_bfloat16_models_are_scored_in_float32(model, tokenizer):
    half = LlamaForCausalLM(model.config).to(torch.bfloat16).eval()
    half.load_state_dict(model.state_dict())
    (score,) = answers([Continuation("ab", "c")], half, tokenizer)
    with torch.no_grad():
        logits = half(torch.tensor([tokenizer.encode("ab")])).logits[0, -1]
    assert score.value == pytest.approx(logits.float().log_softmax(-1)[tokenizer.encode("c")[0]].item(), abs=1e-6)


@pytest.mark.parametrize("request_", [Continuation("a", "b"), Completion("a", (), 3)])
def test_weights_with_nan_are_an_error(model, tokenizer, request_):
    broken = LlamaForCausalLM(model.config)
    with torch.no_grad():
        broken.model.norm.weight.fill_(torch.nan)
    with pytest.raises(FitnessError, match="not finite"):
        answers([request_], broken, tokenizer)


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (Continuation("a", ""), "at least one token"),
        (Continuation("a", "b" * 129), "at most the 128 tokens"),
        (Completion("a", (), 128), "between 1 and 127"),
    ],
)
def test_a_request_that_cannot_be_answered_is_refused_when_planned(tokenizer, request_, message):
    with pytest.raises(FitnessError, match=message):
        TrieLanguageModel(tokenizer).plan([request_])


@pytest.mark.parametrize("length", [1, 4, 5, 6, 9, 10, 11, 23])
def test_rolling_windows_are_lm_evals_and_predict_each_token_once(length):
    ids = list(range(100, 100 + length))
    ours = list(rolling_windows(ids, 7, 5))
    theirs = list(get_rolling_token_windows(ids, prefix_token=7, max_seq_len=5, context_len=1))
    assert [(list(w.inputs), list(w.targets or ())) for w in ours] == theirs
    assert [token for window in ours for token in window.targets or ()] == ids


def test_a_checkpoint_without_a_tokenizer_is_refused(tmp_path):
    with pytest.raises(FitnessError, match="expected a checkpoint with a tokenizer"):
        load_tokenizer(tmp_path)


def test_end_tokens_come_from_the_tokenizer_and_the_generation_config(family, tmp_path):
    from transformers import GenerationConfig

    save_tokenizer(tmp_path)
    tiny_config().save_pretrained(tmp_path)
    GenerationConfig(eos_token_id=[2, 9]).save_pretrained(tmp_path)
    assert load_tokenizer(tmp_path).end_ids == {2, 9}
    assert load_tokenizer(family.base).max_length == 128


def test_long_lines_of_end_tokens_end_the_completion(tmp_path):
    family = make_family(tmp_path, names=())
    model = LlamaForCausalLM.from_pretrained(family.base)
    first, *_ = answers([Completion("a", (), 5)], model, tokenizer := load_tokenizer(family.base))
    tokenizer.end_ids = frozenset(tokenizer.encode(first[0]))
    assert answers([Completion("a", (), 5)], model, tokenizer) == [""]
    assert math.isfinite(answers([WholeText("a")], model, tokenizer)[0].value)


@pytest.mark.parametrize("mode", MODES)
def test_distributions_are_the_softmax_of_the_models_logits(model, tokenizer, mode):
    requests: list[Request] = [
        NextTokens("what is"),
        NextTokens("what is it", 4),
        NextTokens("ab", 9),
        NextTokens(LONG),
    ]
    for request, answer in zip(requests, answers(requests, model, tokenizer, mode), strict=True):
        ids = tokenizer.encode(request.text)[-128:]
        n = min(request.n_positions, len(ids))
        places = [(i + 1) * len(ids) // n - 1 for i in range(n)]
        assert places[-1] == len(ids) - 1
        with torch.no_grad():
            expected = model(torch.tensor([ids])).logits[0].log_softmax(-1)[places]
        assert torch.from_numpy(answer.log_probabilities).allclose(expected, atol=1e-4)


def test_no_requests_have_no_answers(model, tokenizer):
    assert TrieLanguageModel(tokenizer).plan([]).answer(model) == []


def test_a_model_that_has_changed_is_scored_anew(family, tokenizer):
    """The resident model becomes another candidate between two answers of one plan."""
    base, other = (LlamaForCausalLM.from_pretrained(family.parents[name]) for name in ("base", "alpha"))
    engine = TrieLanguageModel(tokenizer)
    plan = engine.plan(REQUESTS)
    before = plan.answer(base)
    base.load_state_dict(other.state_dict())
    assert plan.answer(base) == TrieLanguageModel(tokenizer).plan(REQUESTS).answer(other) != before


ids = st.lists(st.integers(0, 40), min_size=1, max_size=40)


@given(st.lists(st.tuples(ids, st.integers(1, 8)), min_size=1, max_size=8), st.integers(1, 30))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_trie_scores_equal_plain_scores(model, sequences, chunk_size):
    windows = [Window.predicting(inputs, ([*inputs[1:], 7])[-n:]) for inputs, n in sequences]
    layouts = [
        PackedLayout.of_windows(windows, chunk_size=chunk_size),
        PackedLayout.of_windows(windows, chunk_size=chunk_size, multiple=8),
        PackedLayout.of_windows(windows, chunk_size=chunk_size, multiple=8, flex=True),
        RowLayout(windows, chunk_size=chunk_size, most_reads=50, share_prefix=True),
    ]
    for layout in layouts:
        reading = layout.readout.start()
        layout.run(model, reading)
        for i, window in enumerate(windows):
            with torch.no_grad():
                logits = model(torch.tensor([window.inputs])).logits[0].double().log_softmax(-1)
            n = len(window.targets)
            expected = logits[-n:].gather(1, torch.tensor(window.targets)[:, None]).sum().item()
            answer = layout.readout.answer(i, reading)
            assert answer.value == pytest.approx(expected, abs=1e-4)
            assert answer.is_greedy == (logits[-n:].argmax(-1).tolist() == list(window.targets))


class Crowded(torch.nn.Module):
    """A model on a machine where a forward pass of more than some tokens does not fit."""

    def __init__(self, model: torch.nn.Module, most_tokens: int) -> None:
        super().__init__()
        self.model, self.most_tokens = model, most_tokens
        self.sizes: list[int] = []

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        self.sizes.append(ids.numel())
        if ids.numel() > self.most_tokens:
            raise torch.OutOfMemoryError("out of memory")
        return self.model(ids).logits


def test_out_of_memory_shrinks_the_passes_and_is_remembered(model, tokenizer):
    engine = TrieLanguageModel(tokenizer, mode="plain", sizes=Sizes(64, 64))
    plan = engine.plan(CONTINUATIONS[:12])
    crowded = Crowded(model, most_tokens=100)
    expected = answers(CONTINUATIONS[:12], model, tokenizer, "plain")
    for answer, other in zip(plan.answer(crowded), expected, strict=True):
        assert answer.value == pytest.approx(other.value, abs=1e-4)
    assert max(crowded.sizes) > 100
    crowded.sizes.clear()
    plan.answer(crowded)
    assert max(crowded.sizes) <= 100


def test_one_token_that_does_not_fit_is_an_error(model, tokenizer):
    with pytest.raises(FitnessError, match="does not fit in memory"):
        answers([Continuation("a", "b")], Crowded(model, most_tokens=0), tokenizer, "plain", Sizes(4, 4))


def test_a_budget_bounds_the_passes(model, tokenizer):
    small, large = (fitting_sizes(model, n_vocabulary=50, budget=budget) for budget in (2**16, 2**30))
    assert 1 <= small.tokens < large.tokens
    assert 1 <= small.reads < large.reads
    with pytest.raises(FitnessError, match="memory: expected at least 1 MiB"):
        TrieLanguageModel(tokenizer, memory=1000)
