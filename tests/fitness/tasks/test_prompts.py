"""Prompts in a chat template against lm-eval's own evaluation with its own Hugging Face backend."""

from __future__ import annotations

import itertools
from functools import partial
from typing import Any

import pytest
from lm_eval.evaluator import simple_evaluate
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager
from tokenizers.processors import TemplateProcessing
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from fitness.engine.language_model import Completion, Continuation
from fitness.engine.model.chat_template import ChatTemplate
from fitness.engine.model.tokenizer import Tokenizer
from fitness.engine.trie import TrieLanguageModel
from fitness.errors import FitnessError
from fitness.tasks.items import MultipleChoice, Task, Text
from fitness.tasks.prompts import Prompts
from fitness.tasks.sources import TaskContext, load_tasks
from fitness.tasks.suite import evaluate_tasks
from fitness.tasks.written_answer import WrittenAnswer
from tests.conftest import Family
from tests.fitness.conftest import arithmetic, completions, texts, write_jsonl
from tests.fitness.tasks.test_lm_eval_tasks import CHOICE, GENERATE, MEAN, write_task

TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)
NO_SYSTEM = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}" + TEMPLATE


@pytest.fixture
def chatty(family: Family) -> PreTrainedTokenizerBase:
    """A tokenizer that adds BOS by itself, and whose chat template writes one as well."""
    tokenizer = AutoTokenizer.from_pretrained(family.base)
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", tokenizer.bos_token_id)]
    )
    tokenizer.chat_template = TEMPLATE
    return tokenizer


def ours(tokenizer: PreTrainedTokenizerBase) -> Tokenizer:
    return Tokenizer(tokenizer, max_length=128, end_ids=frozenset({tokenizer.eos_token_id}))


SHORT = {**CHOICE, "doc_to_text": "{{question[12:]}}"}
TASKS: dict[str, dict[str, Any]] = {
    "multiple choice": {**SHORT, "metric_list": [{"metric": "acc", **MEAN}]},
    "few-shot": {
        **SHORT,
        "doc_to_text": "{{question[12:16]}}",
        "num_fewshot": 2,
        "fewshot_split": "test",
        "metric_list": [{"metric": "acc", **MEAN}],
    },
    "prefilled answer": {**SHORT, "gen_prefix": "it is", "metric_list": [{"metric": "acc_norm", **MEAN}]},
    "described": {**SHORT, "description": "sums.", "metric_list": [{"metric": "acc", **MEAN}]},
    "generation": {**GENERATE, "metric_list": [{"metric": "exact_match", **MEAN}]},
}


def texts_of(request: Continuation | Completion) -> tuple[str, ...]:
    return (request.prompt,) if isinstance(request, Completion) else (request.context, request.continuation)


@pytest.mark.parametrize(
    ("kind", "multiturn", "system"),
    [
        *itertools.product(TASKS, [True], ["be brief."]),
        ("few-shot", False, None),
        ("few-shot", False, "be brief."),
        ("multiple choice", True, None),
    ],
)
def test_item_scores_in_a_chat_are_lm_evals(kind, multiturn, system, model, chatty, tmp_path):
    path = write_task(tmp_path, **TASKS[kind])
    prompts = Prompts(apply_chat_template=True, system_instruction=system, fewshot_as_multiturn=multiturn)
    tokenizer = ours(chatty)
    (tasks,) = load_tasks([str(path)], TaskContext(prompts=prompts, tokenizer=tokenizer)).values()
    (result,) = evaluate_tasks(model, tasks, language_model=TrieLanguageModel(tokenizer))
    reference = simple_evaluate(
        model=HFLM(pretrained=model, tokenizer=chatty, batch_size=1),
        tasks=[str(path)],
        task_manager=TaskManager(include_defaults=False, include_path=str(tmp_path)),
        bootstrap_iters=0,
        apply_chat_template=True,
        system_instruction=system,
        fewshot_as_multiturn=multiturn,
    )
    samples = reference["samples"]["tiny"]
    assert dict(zip(result.scores.item_ids, result.scores.values.tolist(), strict=True)) == {
        f"tiny/{sample['doc_id']}": float(sample[result.metric]) for sample in samples
    }
    asked = [[texts_of(request) for request in tasks[0].requests(str(s["doc_id"]))] for s in samples]
    n_texts = 1 if kind == "generation" else 2  # what follows are generation_kwargs
    assert asked == [[tuple(each[:n_texts]) for each in sample["arguments"]] for sample in samples]
    log_likelihoods = [
        answer.value
        for item in tasks[0].item_ids
        for answer in TrieLanguageModel(tokenizer).plan(tasks[0].requests(item)).answer(model)
        if not isinstance(answer, str)
    ]
    expected = [r[0][0] for sample in samples for r in sample["resps"] if kind != "generation"]
    assert log_likelihoods == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(("own", "asked", "used"), [(None, 3, 3), (1, 3, 3), (0, 3, 0), (1, None, 1), (None, None, 0)])
def test_the_number_of_examples_is_overridden_as_lm_eval_does(own, asked, used, tmp_path):
    task = {**SHORT, "fewshot_split": "test", "doc_to_text": "Q{{question[9:]}}"}
    task |= {"metric_list": [{"metric": "acc", **MEAN}]} | ({} if own is None else {"num_fewshot": own})
    path = write_task(tmp_path, **task)
    ((loaded,),) = load_tasks([str(path)], TaskContext(prompts=Prompts(num_fewshot=asked))).values()
    request = loaded.requests("0")[0]
    assert isinstance(request, Continuation)
    assert request.context.count("Q") == used + 1


@pytest.mark.parametrize(("own", "asked", "used"), [(1, 3, 3), (0, 3, 3), (None, 0, 0)])
def test_a_task_that_is_named_has_its_own_number_of_examples(own, asked, used, tmp_path):
    task = {**SHORT, "fewshot_split": "test", "doc_to_text": "Q{{question[9:]}}"}
    task |= {"metric_list": [{"metric": "acc", **MEAN}]} | ({} if own is None else {"num_fewshot": own})
    named, other = write_task(tmp_path, **task), write_task(tmp_path, "other", **task)
    prompts = Prompts(num_fewshot={"tiny": asked})
    (one,), (rest,) = load_tasks([str(named), str(other)], TaskContext(prompts=prompts)).values()
    found = [request.context.count("Q") for task in (one, rest) for request in task.requests("0")[:1]]
    assert found == [used + 1, (own or 0) + 1]
    with pytest.raises(FitnessError, match="num_fewshot: expected names of lm-eval tasks, found 'tinny'; did you mean"):
        load_tasks([str(named)], TaskContext(prompts=Prompts(num_fewshot={"tinny": 3})))


def test_questions_of_task_files_become_messages(chatty, tmp_path):
    write_jsonl(tmp_path / "choices.jsonl", [{**arithmetic(2)[0], "delimiter": " "}, arithmetic(2)[1]])
    write_jsonl(tmp_path / "completions.jsonl", completions(2))
    write_jsonl(tmp_path / "texts.jsonl", texts(2))
    prompts = Prompts(apply_chat_template=True, system_instruction="be brief.")
    context = TaskContext(tmp_path, prompts=prompts, tokenizer=ours(chatty))
    names = ["choices.jsonl", "completions.jsonl", "texts.jsonl"]
    choices, prompted, plain = (group[0] for group in load_tasks(names, context).values())
    assert isinstance(choices, Task)
    assert isinstance(prompted, Task)
    assert isinstance(plain, Task)
    head = "<s>system: be brief.\nuser: "
    question = arithmetic(1)[0]["question"]
    assert choices.requests(choices.item_ids[0])[0] == Continuation(f"{head}{question}\nassistant:", "0")
    assert isinstance(prompted.items[0], WrittenAnswer)
    assert prompted.items[0].prompt == f"{head}word 0 is \nassistant:"
    assert plain.items[0] == Text(plain.item_ids[0], texts(1)[0]["text"])


def test_no_begin_of_text_is_doubled(chatty):
    tokenizer = ours(chatty)
    prompts = Prompts(apply_chat_template=True)
    question = prompts.frame("1 + 1", render=prompts.renderer(tokenizer))
    assert tokenizer.encode(question).count(chatty.bos_token_id) == 1
    assert tokenizer.encode("1 + 1").count(chatty.bos_token_id) == 1


def test_without_a_template_the_system_instruction_stands_in_front():
    framed = MultipleChoice("1", "1 + 1 =", ("2", "3"), 0).framed(
        partial(Prompts(system_instruction="add.").frame, render=None), chat=False
    )
    assert framed.requests()[0] == Continuation("add.\n\n1 + 1 =", " 2")


def test_a_template_without_system_messages_leaves_them_out(chatty):
    chatty.chat_template = NO_SYSTEM
    messages = [{"role": "system", "content": "be brief."}, {"role": "user", "content": "1"}]
    assert ChatTemplate(chatty)(messages) == "<s>user: 1\nassistant:"


def test_a_template_is_chosen_by_its_name(chatty):
    chatty.chat_template = {"default": TEMPLATE, "short": "{{ messages[-1]['content'] }}:"}
    assert ChatTemplate(chatty, {"chat_template": "short"})([{"role": "user", "content": "1"}]) == "1:"
    assert ChatTemplate(chatty)([{"role": "user", "content": "1"}]) == "<s>user: 1\nassistant:"
    with pytest.raises(FitnessError, match="apply_chat_template: expected one of default, short, found 'long'"):
        ChatTemplate(chatty, {"chat_template": "long"})


def test_a_template_gets_its_own_arguments(chatty):
    chatty.chat_template = TEMPLATE + "{% if not thinking %} no thought.{% endif %}"
    prompts = Prompts(apply_chat_template=True, chat_template_args={"thinking": True})
    for arguments, end in ((prompts, "assistant:"), (Prompts(apply_chat_template=True), "assistant: no thought.")):
        assert arguments.frame("1", render=arguments.renderer(ours(chatty))) == f"<s>user: 1\n{end}"


def test_a_template_that_is_not_there_is_told_once(chatty, tmp_path):
    with pytest.raises(FitnessError, match="expected true, for the tokenizer's only template, found 'short'"):
        ChatTemplate(chatty, {"chat_template": "short"})
    chatty.chat_template = None
    context = TaskContext(tmp_path, prompts=Prompts(apply_chat_template=True), tokenizer=ours(chatty))
    with pytest.raises(FitnessError, match=r"^apply_chat_template: expected a tokenizer with a chat template, found n"):
        load_tasks(["a.jsonl", "b.jsonl"], context)


def test_a_template_that_cannot_render_is_one_message(chatty):
    chatty.chat_template = "{{ raise_exception('never') }}"
    with pytest.raises(FitnessError, match="chat template cannot render a prompt: never"):
        ChatTemplate(chatty)([{"role": "user", "content": "1"}])
