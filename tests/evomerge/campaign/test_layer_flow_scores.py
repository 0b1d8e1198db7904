"""Live models of paths are scored as their exports are, one by one and together."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

from fitness.engine.model.tokenizer import load_tokenizer
from fitness.errors import FitnessError
from fitness.scores import Budget
from fitness.tasks.sources import TaskContext, load_tasks, make_suite
from fitness.tasks.suite import TaskSuite
from search_spaces.layers.architecture import build_module
from search_spaces.live.layer_surgery import FlowResident
from search_spaces.output.export import export
from tests.conftest import save_tokenizer, tiny_config
from tests.evomerge.conftest import Outcome
from tests.fitness.conftest import arithmetic, completions, texts, write_jsonl
from tests.search_spaces.live.flows import PATH, SCALES, family_of, flow

BUDGET = Budget("search")
PATHS = [(PATH, SCALES), (PATH[:4], SCALES[:4]), ((*PATH[:3], *PATH[:3]), None)]


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> TaskSuite:
    directory = tmp_path_factory.mktemp("tasks")
    save_tokenizer(directory)
    tiny_config().save_pretrained(directory)
    lines = {"choices": arithmetic(6), "completions": completions(3), "texts": texts(3)}
    names = [write_jsonl(directory / f"{name}.jsonl", content).name for name, content in lines.items()]
    tasks = [task for group in load_tasks(names, TaskContext(directory)).values() for task in group]
    shares = {"search": 1.0, "validation": 0.0, "test": 0.0}
    return make_suite(tasks, tokenizer=load_tokenizer(directory), shares=shares, seed=3)


@pytest.mark.parametrize("architecture", ["Llama", "Mistral", "Gemma2", "Mixtral", "Mamba"])
def test_paths_score_what_their_exports_score(architecture: str, suite: TaskSuite, tmp_path: Path) -> None:
    context = {} if architecture == "Mamba" else {"max_position_embeddings": 512}
    parents = family_of(architecture, tmp_path, **context)
    recipes = [flow(parents, path, scales) for path, scales in PATHS]
    live = FlowResident(build_module(parents["base"]), parents).assembled(recipes)
    together = suite.evaluate_together(live, BUDGET)
    for number, (recipe, model, shared) in enumerate(zip(recipes, live, together, strict=True)):
        assert not isinstance(shared, FitnessError)
        plain = transformers.AutoModelForCausalLM.from_pretrained(
            export(recipe, parents, tmp_path / f"out{number}"), dtype=torch.float32
        )
        expected = suite.evaluate(plain.eval(), BUDGET)
        for found in (suite.evaluate(model, BUDGET), shared):
            assert found.item_ids == expected.item_ids
            np.testing.assert_allclose(found.values, expected.values, rtol=1e-4, atol=1e-5)


def test_a_scaled_path_is_merged_from_the_command_line(tmp_path: Path, evomerge: Callable[..., Outcome]) -> None:
    parents = family_of("Llama", tmp_path)
    recipe = flow(parents, PATH, SCALES)
    (tmp_path / "recipe.json").write_text(recipe.to_json())
    assert evomerge("merge", tmp_path / "recipe.json", tmp_path / "out").code == 0
    [live] = FlowResident(build_module(parents["base"]), parents).assembled([recipe])
    plain = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out").eval()
    ids = torch.arange(3, 23)[None]
    with torch.no_grad():
        torch.testing.assert_close(plain(ids).logits, live(ids).logits)
