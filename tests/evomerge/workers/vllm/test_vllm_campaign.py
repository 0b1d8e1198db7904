"""Campaigns whose candidates vLLM runs: the scores are those of the same campaign on the plain engine."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import evomerge as em
from fitness.engine.language_model import Completion
from fitness.engine.trie import TrieLanguageModel
from tests.conftest import Family
from tests.evomerge.conftest import write_tasks
from tests.evomerge.workers.vllm.served import needs_vllm, plain_resident, served_family, tokenizer_of, two_recipes

pytestmark = needs_vllm
PROMPTS = [f"what does a merge of {i} models write after it has read all of this? it writes " for i in range(24)]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Family:
    return served_family(tmp_path_factory.mktemp("served"))


@pytest.fixture(scope="module")
def tasks(models: Family, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with choices, and with prompts whose right answers are the first token that a merge writes."""
    folder = tmp_path_factory.mktemp("tasks")
    write_tasks(folder)
    resident = plain_resident(models)
    resident.become(two_recipes(models)[0])
    plan = TrieLanguageModel(tokenizer_of(models)).plan([Completion(p, max_new_tokens=2) for p in PROMPTS])
    lines = zip(PROMPTS, plan.answer(resident.model), strict=True)
    written = [json.dumps({"prompt": p, "answer": str(answer).strip() or "a"}) for p, answer in lines]
    (folder / "written.jsonl").write_text("\n".join(written) + "\n")
    return folder


@pytest.fixture
def search(models: Family, tasks: Path, tmp_path: Path) -> Callable[..., em.Run]:
    def run(name: str, engine: dict[str, object], **sections: Any) -> em.Run:
        given: dict[str, Any] = {
            "parents": [str(path) for path in models.experts.values()],
            "base": str(models.base),
            "objectives": {
                "written": str(tasks / "written.jsonl"),
                "words": str(tasks / "words.jsonl"),
                "length": {"cost": "tokens"},
            },
            "space": em.spaces.Weights("task_arithmetic", layer_blocks=1),
            "optimiser": "random",
            "evaluations": 8,
            "export": {"dtype": "float32"},
            "landmarks": "none",
        }
        return em.search(**{**given, **sections}, engine={"dtype": "float32", **engine}, run_dir=tmp_path / name)

    return run


def scores(run: em.Run) -> np.ndarray:
    """Return (n_candidates, n_items) scores."""
    found = [run.items.scores(i) for i in range(run.n_candidates)]
    assert all(one is not None for one in found)
    return np.array([one.values for one in found if one is not None])


def test_a_campaign_has_the_scores_that_it_has_on_the_plain_engine(search: Callable[..., em.Run]) -> None:
    plain, served = search("plain", {"kind": "trie"}), search("served", {"kind": "vllm"})
    assert [c.recipe.digest for c in plain.candidates] == [c.recipe.digest for c in served.candidates]
    found = scores(served)
    np.testing.assert_array_equal(found, scores(plain))
    assert len(np.unique(found, axis=0)) > 4  # candidates differ


def test_workers_on_ray_have_an_engine_of_their_own(search: Callable[..., em.Run]) -> None:
    pytest.importorskip("ray")
    plain = search("plain", {"kind": "trie"})
    served = search("ray", {"kind": "vllm"}, workers={"backend": "ray", "count": 1, "cpus": 1})
    np.testing.assert_array_equal(scores(served), scores(plain))


def test_plan_says_who_writes_completions(search: Callable[..., em.Run], models: Family, tasks: Path) -> None:
    (plan,) = em.plan(
        parents=[str(path) for path in models.experts.values()],
        base=str(models.base),
        objectives={"written": str(tasks / "written.jsonl"), "words": str(tasks / "words.jsonl")},
        export={"dtype": "float32"},
        space=em.spaces.Weights("task_arithmetic", layer_blocks=1),
        engine={"kind": "vllm", "dtype": "float32"},
    )
    assert plan.engine.startswith("vLLM writes completions on one device")
    assert plan.engine.endswith("own engine on the same weights")
    assert plan.cost is not None
    assert plan.cost.seconds > 0
