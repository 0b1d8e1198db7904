"""Coefficients of live models, taught on search items: where search_spaces and fitness meet."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from fitness import Experts, Lessons, Objective, TaskSuite, Teaching, TrieLanguageModel, load_tokenizer
from fitness.tasks.sources import TaskContext, load_tasks, make_suite
from search_spaces import Parents, build_module
from search_spaces.live.coefficients import CoefficientModel
from search_spaces.recipes.recipe import ParentSource
from tests.conftest import Family, make_family
from tests.fitness.conftest import completions, texts, write_jsonl

EXPERTS = {"completions": "alpha", "texts": "beta"}


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Family:
    return make_family(tmp_path_factory.mktemp("wide"), scale=0.2)


@pytest.fixture
def suite(tmp_path, wide: Family) -> TaskSuite:
    tokenizer = load_tokenizer(wide.base)
    write_jsonl(tmp_path / "completions.jsonl", completions(80))
    write_jsonl(tmp_path / "texts.jsonl", [{"text": line["text"][:40]} for line in texts(80)])
    tasks = load_tasks(["completions.jsonl", "texts.jsonl"], TaskContext(tmp_path, tokenizer=tokenizer))
    shares = {"search": 0.5, "validation": 0.2, "test": 0.3}
    return make_suite([t for ts in tasks.values() for t in ts], tokenizer=tokenizer, shares=shares, seed=0)


def coefficients(wide: Family, per: str, **options: object) -> CoefficientModel:
    parents = Parents.open({name: ParentSource(str(path)) for name, path in wide.parents.items()})
    module = build_module(parents["base"])
    return CoefficientModel(module, parents, base="base", merged=["alpha", "beta"], per=per, **options)


def taught(suite: TaskSuite, model: CoefficientModel, loss: str, named: dict[str, str] = EXPERTS) -> Lessons:
    tasks = tuple(Objective(task, (task,)) for task in EXPERTS)
    assert isinstance(suite.language_model, TrieLanguageModel)
    lessons = Lessons(
        suite,
        tasks,
        tokenizer=suite.language_model.tokenizer,
        experts=Experts(suite.language_model, model.parents, ["base", *model.parents], named),
        teaching=Teaching(loss, items=40),
    )

    def become(name: str) -> nn.Module:
        alone = torch.zeros(model.shape)
        if name != "base":
            alone[model.parents.index(name)] = 1.0
        model.become(alone)
        return model.model

    lessons.learn(become)
    return lessons


@pytest.mark.parametrize("rate", [1e-3, 0.2])
def test_adamerging_is_its_released_loop(suite: TaskSuite, wide: Family, rate: float) -> None:
    """AdaMerging (EnnengYang/AdaMerging, src/main_layer_wise_adamerging.py), beside a loop written from its code.

    One coefficient per tensor and task, from .3, clamped to [0, 1] in the forward pass, Adam with betas .9 and .999;
    a step sums the mean entropies of two batches of 16 per task. Its rate is 1e-3; a larger one meets the clamp.
    """
    model = coefficients(wide, "tensor", bounds=(0.0, 1.0))
    lessons = taught(suite, model, "entropy")
    ours = torch.full(model.shape, 0.3, dtype=torch.float64)
    theirs = ours.float().requires_grad_()
    optimisers = [torch.optim.Adam([each], lr=rate, betas=(0.9, 0.999)) for each in (ours, theirs)]
    for step in range(4):
        items = lessons.batch(step, size=32)
        model.become(ours)
        lessons.backward(model.model, items)
        ours.grad = model.slope()
        optimisers[1].zero_grad()
        released_loss(wide, model.places.names, theirs, suite, lessons, items).backward()
        for optimiser in optimisers:
            optimiser.step()
        torch.testing.assert_close(ours, theirs.detach().double(), rtol=0, atol=0.02 * rate)
    assert bool((ours < 0).any() and (ours > 1).any()) == (rate > 0.1)


def released_loss(wide, names, values: Tensor, suite: TaskSuite, lessons: Lessons, items) -> Tensor:
    """The loss of one step with a graph through the merge, one unpadded sequence after the other."""
    parents = Parents.open({name: ParentSource(str(path)) for name, path in wide.parents.items()})
    clamped = values.clamp(0.0, 1.0)
    merged = {}
    for k, name in enumerate(names):
        base = parents["base"].tensor(name)
        deltas = [parents[expert].tensor(name) - base for expert in ("alpha", "beta")]
        merged[name] = base + sum(clamped[i, k] * delta for i, delta in enumerate(deltas))
    module = build_module(parents["base"])
    losses = torch.zeros(())
    for task in EXPERTS:
        own = [item for item in items if suite.task_of[item] == task]
        for batch in (own[:16], own[16:]):
            entropies = []
            for item in batch:
                (window,) = lessons._lessons[item].windows
                logits = functional_call(module, merged, (torch.tensor([window.inputs]),)).logits[
                    0, list(window.places)
                ]
                entropies.append(-(logits.softmax(1) * logits.log_softmax(1)).sum(1).mean())
            losses = losses + torch.stack(entropies).mean()
    return losses


@pytest.mark.parametrize("loss", ["js", "kl"])
def test_the_coefficient_of_the_only_relevant_parent_goes_to_one(suite, wide, loss: str) -> None:
    model = coefficients(wide, "model")
    lessons = taught(suite, model, loss, dict.fromkeys(EXPERTS, "beta"))
    values = torch.full(model.shape, 0.5, dtype=torch.float64)
    optimiser = torch.optim.Adam([values], lr=0.05)
    model.become(values)
    before = lessons.held_back_loss(model.model)
    for step in range(40):
        model.become(values)
        lessons.backward(model.model, lessons.batch(step, size=8))
        values.grad = model.slope()
        optimiser.step()
    model.become(values)
    assert lessons.held_back_loss(model.model) < 0.1 * before
    irrelevant, relevant = values[:, 0].tolist()
    assert relevant == pytest.approx(1.0, abs=0.15)
    assert irrelevant == pytest.approx(0.0, abs=0.15)
