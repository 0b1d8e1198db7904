from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fitness.engine.language_model import Completion, Continuation, NextTokens, WholeText
from fitness.engine.trie import TrieLanguageModel
from fitness.errors import FitnessError
from fitness.estimation import Objective
from fitness.screening.experts import Experts
from fitness.screening.screening import draw_prompts
from fitness.tasks.sources import TaskContext, load_tasks, make_suite
from fitness.teaching import Lessons
from fitness.teaching.curriculum import Curriculum
from tests.fitness.conftest import arithmetic, completions
from tests.fitness.teaching.conftest import OBJECTIVES, make_tasks

LOSSES = ["js", "kl", "entropy", "nll"]
EXPERTS = {"choices": "far", "completions": "far", "texts": "near"}


def everything(lessons: Lessons) -> list[str]:
    return list(lessons.curriculum.task_of)


def log_p(model: nn.Module, ids: list[int]) -> Tensor:
    """One sequence alone, (n_tokens, n_vocabulary)."""
    return model(torch.tensor([ids])).logits[0].log_softmax(-1)


def read(prompt: Completion | NextTokens, expert: nn.Module, tokenizer) -> tuple[list[int], list[int]]:
    """What is read on an item, and where: along what the expert writes, or at places of a text."""
    if isinstance(prompt, NextTokens):
        ids = tokenizer.encode(prompt.text)
        n = min(prompt.n_positions, len(ids))
        return ids, [(k + 1) * len(ids) // n - 1 for k in range(n)]
    (written,) = TrieLanguageModel(tokenizer).plan([prompt]).answer(expert)
    context, answer = tokenizer.encode_pair(prompt.prompt, written) if written.strip() else ([], [])
    ids = [*context, *answer] or tokenizer.encode(prompt.prompt)
    return ids, list(range(len(ids) - len(answer) - 1, len(ids)))


def slow_loss(suite, tokenizer, models, items: list[str], at_a_place) -> float:
    """The mean over tasks, which weigh 1/4, 1/4 and 1/2 as their objectives do, of items, of places."""
    prompts, of_task = draw_prompts(suite, OBJECTIVES, 10**6), {}
    for item in items:
        task = suite.task_of[item]
        expert = models[EXPERTS[task]]
        ids, places = read(prompts[item], expert, tokenizer)
        with torch.no_grad():
            mine, theirs = log_p(models["base"], ids)[places], log_p(expert, ids)[places]
        of_task.setdefault(task, []).append(float(at_a_place(mine.double(), theirs.double()).mean()))
    weights = {"choices": 0.25, "completions": 0.25, "texts": 0.5}
    return sum(weights[task] * float(np.mean(values)) for task, values in of_task.items())


def js(log_p: Tensor, log_q: Tensor) -> Tensor:
    p, q = log_p.exp(), log_q.exp()
    m = ((p + q) / 2).log()
    return ((p * (log_p - m)).sum(-1) + (q * (log_q - m)).sum(-1)) / 2


def kl(log_p: Tensor, log_q: Tensor, t: float = 2.0) -> Tensor:
    p, q = (log_p / t).log_softmax(-1), (log_q / t).log_softmax(-1)
    return t**2 * (q.exp() * (q - p)).sum(-1)


def entropy(log_p: Tensor, _: Tensor) -> Tensor:
    return -(log_p.exp() * log_p).sum(-1)


@pytest.mark.parametrize(
    ("loss", "options", "at_a_place"), [("js", {}, js), ("kl", {"temperature": 2.0}, kl), ("entropy", {}, entropy)]
)
def test_a_loss_is_what_a_slow_loop_finds_along_the_experts_answers(
    suite, tokenizer, models, learnt, loss, options, at_a_place
):
    lessons = learnt(loss, named=EXPERTS, **options)
    items = everything(lessons)
    found = float(lessons.loss(models["base"], items).detach())
    assert found == pytest.approx(slow_loss(suite, tokenizer, models, items, at_a_place), rel=2e-3)
    held = [item for items in lessons.curriculum.held_back.values() for item in items]
    expected = slow_loss(suite, tokenizer, models, held, at_a_place)
    assert lessons.held_back_loss(models["base"]) == pytest.approx(expected, rel=2e-3)


def test_the_likelihood_of_choices_is_that_of_the_right_one_among_all(suite, tokenizer, models, learnt):
    lessons = learnt("nll")
    items = [item for item in everything(lessons) if suite.task_of[item] == "choices"]
    losses = []
    for item in items:
        likelihoods = []
        requests = suite.requests(item)
        for request in requests:
            assert isinstance(request, Continuation)
            context, answer = tokenizer.encode_pair(request.context, request.continuation)
            with torch.no_grad():
                said = log_p(models["base"], [*context, *answer])
            likelihoods.append(sum(float(said[len(context) - 1 + k, token]) for k, token in enumerate(answer)))
        gold = next(i for i in range(3) if suite.labelled(item).choices[suite.labelled(item).gold] == requests[i])
        losses.append(-torch.tensor(likelihoods).log_softmax(0)[gold])
    assert float(lessons.loss(models["base"], items).detach()) == pytest.approx(float(np.mean(losses)), rel=1e-4)


@pytest.mark.parametrize("task", ["completions", "texts"])
def test_the_likelihood_of_an_answer_is_that_of_its_tokens(suite, tokenizer, models, learnt, task):
    lessons = learnt("nll")
    items = [item for item in everything(lessons) if suite.task_of[item] == task]
    losses = []
    for item in items:
        (label,) = suite.labelled(item).choices
        if isinstance(label, WholeText):
            context, answer = [tokenizer.prefix_id], tokenizer.encode(label.text)
        else:
            context, answer = tokenizer.encode_pair(label.context, label.continuation)
        said = log_p(models["base"], [*context, *answer])
        losses.append(-np.mean([float(said[len(context) - 1 + k, t].detach()) for k, t in enumerate(answer)]))
    assert float(lessons.loss(models["base"], items).detach()) == pytest.approx(float(np.mean(losses)), rel=1e-4)


def test_right_answers_are_those_of_the_task_files(suite):
    choices = {line["question"]: line for line in arithmetic(16)}
    answers = {line["prompt"]: line["answer"] for line in completions(16)}
    for item in suite.item_ids:
        label = suite.labelled(item)
        right = label.choices[label.gold]
        if suite.task_of[item] == "choices":
            line = choices[right.context]
            assert right.continuation == " " + line["choices"][line["gold"]]
            assert len(label.choices) == 3
        elif suite.task_of[item] == "completions":
            assert label.choices == (Continuation(right.context, answers[right.context]),)


@pytest.mark.parametrize("loss", LOSSES)
def test_only_search_items_are_learnt_from_or_held_back(suite, models, learnt, loss):
    lessons = learnt(loss, items=1000)
    assert sorted(everything(lessons)) == sorted(suite.splits.items["search"])
    batches = {item for step in range(20) for item in lessons.batch(step, size=2)}
    assert batches == {item for items in lessons.curriculum.learnt_from.values() for item in items}
    assert batches.isdisjoint(item for items in lessons.curriculum.held_back.values() for item in items)
    for split in ("validation", "test"):
        with pytest.raises(FitnessError, match="lessons: expected search items that are learnt from or held back"):
            lessons.loss(models["base"], suite.splits.items[split][:1])


@pytest.mark.parametrize("loss", LOSSES)
def test_right_answers_are_looked_at_by_the_likelihood_alone(tmp_path, suite, tokenizer, models, learnt, loss):
    (tmp_path / "wrong").mkdir()
    mislabelled = learnt(loss, of=make_tasks(tmp_path / "wrong", tokenizer, wrong=True))
    lessons = learnt(loss)
    both = [float(each.loss(models["near"], everything(each)).detach()) for each in (lessons, mislabelled)]
    assert (both[0] == both[1]) == (loss != "nll")


def slopes(model: nn.Module) -> list[Tensor]:
    found = [p.grad.clone() for p in model.parameters() if p.grad is not None]
    model.zero_grad()
    return found


@pytest.mark.parametrize("loss", LOSSES)
def test_neither_passes_nor_checkpointing_change_a_loss_or_its_slope(models, learnt, loss):
    plain, model = learnt(loss), models["near"]
    items = plain.batch(0)
    whole = plain.loss(model, items)
    whole.backward()
    expected = slopes(model)
    assert expected
    for options in ({"tokens": 40}, {"checkpointing": True}, {"tokens": 40, "checkpointing": True}):
        other = learnt(loss, **options)
        assert other.backward(model, items) == pytest.approx(float(whole.detach()), rel=1e-5)
        for found, wanted in zip(slopes(model), expected, strict=True):
            torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-5)


def numbers_kept(model: nn.Module, lessons: Lessons) -> int:
    """How many numbers the graph of a batch keeps."""
    kept: list[int] = []

    def keep(tensor: Tensor) -> Tensor:
        kept.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        lessons.loss(model, lessons.batch(0))
    return sum(kept)


def test_checkpointing_keeps_less_and_leaves_the_model_as_it_was(models, learnt):
    model = models["base"]
    plain = [layer.forward for layer in model.model.layers]
    kept = [numbers_kept(model, learnt("js", checkpointing=again)) for again in (False, True)]
    assert kept[1] < 0.7 * kept[0]
    assert [layer.forward for layer in model.model.layers] == plain


def test_the_expert_itself_has_nothing_to_learn(models, learnt):
    for loss in ("js", "kl"):
        lessons = learnt(loss, named=dict.fromkeys(EXPERTS, "far"))
        own, other = (float(lessons.loss(models[name], lessons.batch(0)).detach()) for name in ("far", "base"))
        assert own == pytest.approx(0.0, abs=1e-4)
        assert own < 0.01 * other


def test_an_expert_answers_once_and_only_if_it_is_asked(suite, tokenizer, models):
    asked: list[str] = []

    def become(name: str) -> nn.Module:
        asked.append(name)
        return models[name]

    lessons = Lessons(
        suite,
        OBJECTIVES,
        tokenizer=tokenizer,
        experts=Experts(suite.language_model, ["near", "far"], ["base", "near", "far"], dict.fromkeys(EXPERTS, "far")),
    )
    with pytest.raises(FitnessError, match="lessons: expected answers of the experts before, found none; call learn"):
        lessons.loss(models["base"], lessons.batch(0))
    lessons.learn(become)
    lessons.learn(become)
    assert asked == ["far"]


def test_memory_is_what_the_experts_say(models, learnt):
    lessons = learnt("js")
    n_places = sum(lesson.n_places for lesson in lessons._lessons.values())
    n_tokens = models["base"].config.vocab_size
    assert lessons.n_bytes == 2 * n_places * n_tokens
    assert learnt("js", likeliest=4).n_bytes == n_places * (4 * 8 + 5 * 2)
    assert learnt("nll").n_bytes == learnt("entropy").n_bytes == 0


def test_the_likeliest_tokens_give_a_lower_bound_and_all_of_them_the_divergence(models, learnt):
    losses = []
    for likeliest in (2, 8, 48, None):
        lessons = learnt("js", likeliest=likeliest)
        losses.append(float(lessons.loss(models["base"], everything(lessons)).detach()))
    assert losses[:3] == sorted(losses[:3])
    assert losses[2] == pytest.approx(losses[3], rel=1e-3)


def test_more_memory_than_there_is_gets_one_sentence(models, learnt, monkeypatch):
    monkeypatch.setattr("fitness.teaching.lessons._MOST_BYTES", 1000)
    with pytest.raises(FitnessError, match="lessons: expected experts' predictions of at most"):
        learnt("js")


def test_every_item_is_learnt_from_before_any_a_second_time():
    items = {"a": [f"a/{i}" for i in range(8)], "b": [f"b/{i}" for i in range(5)]}
    curriculum = Curriculum.of(items, [Objective("one", ("a", "b"))], 0.25)
    assert {task: len(own) for task, own in curriculum.held_back.items()} == {"a": 2, "b": 1}
    first = [curriculum.batch(step, size=2, seed=3) for step in range(3)]
    assert [len(batch) for batch in first] == [4] * 3
    assert sorted(i for batch in first for i in batch if i[0] == "a") == sorted(curriculum.learnt_from["a"])
    assert curriculum.batch(1, size=2, seed=3) == first[1]
    assert curriculum.batch(1, size=2, seed=4) != first[1]
    assert sorted(curriculum.batch(7)) == sorted(i for own in curriculum.learnt_from.values() for i in own)
    assert Curriculum.of(items, [], 0.0).held_back == {"a": (), "b": ()}


def test_tasks_weigh_as_their_objectives_and_items_of_a_task_the_same():
    items = {"a": ["a/0", "a/1"], "b": ["b/0"], "c": ["c/0"]}
    curriculum = Curriculum.of(items, [Objective("one", ("a", "b"), 3.0), Objective("two", ("c",))], 0.0)
    weights = curriculum.weight_of(["a/0", "a/1", "b/0", "c/0"])
    assert weights == pytest.approx({"a/0": 3 / 16, "a/1": 3 / 16, "b/0": 3 / 8, "c/0": 1 / 4})
    assert math.fsum(curriculum.weight_of(["a/1", "c/0"]).values()) == pytest.approx(1.0)


def test_tasks_without_prompts_are_refused(tmp_path):
    (tmp_path / "sums.py").write_text("def score(model, items):\n    return {'a': 0.5}\n")
    tasks = load_tasks([f"python:{tmp_path / 'sums.py'}:score"], TaskContext(base=lambda: nn.Linear(1, 1)))
    (task,) = next(iter(tasks.values()))
    suite = make_suite([task], tokenizer=None, shares={"search": 1.0}, seed=0)
    with pytest.raises(FitnessError, match="lessons: expected search items with prompts, found none"):
        Lessons(suite, (Objective("o", (task.name,)),), tokenizer=None, experts=Experts(None, [], []))
