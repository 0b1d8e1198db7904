"""Merges among the parents: carried out once, and parents as any other from then on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file

import evomerge as em
from search_spaces.recipes.recipe import Recipe
from tests.conftest import Family

Searched = Callable[..., em.Run]
SUM = {"name": "sum", "operator": "task_arithmetic", "parameters": {"weight": 0.5}}


def written(run: em.Run, name: str) -> Path:
    (found,) = (run.directory / "parents").glob(f"{name}-*")
    return found


def test_a_merge_becomes_a_checkpoint_and_a_parent(searched: Searched, family: Family) -> None:
    run = searched(merges=[SUM], evaluations=9)
    assert [row.label for row in run.candidates][:4] == ["base", "alpha", "beta", "sum"]
    base, alpha, beta = (
        load_file(path / "model.safetensors") for path in (family.base, *map(family.experts.get, ("alpha", "beta")))
    )
    for name, tensor in load_file(written(run, "sum") / "model.safetensors").items():
        expected = base[name] + 0.5 * (alpha[name] - base[name]) + 0.5 * (beta[name] - base[name])
        torch.testing.assert_close(tensor, expected, rtol=0.0, atol=1e-6)
    mean = next(row.recipe for row in run.candidates if row.label == "uniform mean")
    assert [given.parent for given in mean.rules[0].inputs] == ["alpha", "beta"]
    inputs = {given.parent for given in run.candidates[8].recipe.rules[0].inputs}
    assert inputs == {"alpha", "beta", "sum"}
    assert run.config.parents[2].merge_of == ("alpha", "beta")


def test_a_file_of_mergekits_is_a_merge_too(searched: Searched, family: Family, tmp_path: Path) -> None:
    models = [{"model": str(path), "parameters": {"weight": 0.5}} for path in family.experts.values()]
    document = {"merge_method": "linear", "models": models, "dtype": "float32"}
    (tmp_path / "mine.yml").write_text(yaml.safe_dump(document))
    run = searched(merges=[{"name": "mine", "recipe": "mine.yml"}], evaluations=7)
    alpha, beta, mine = (
        load_file(path / "model.safetensors") for path in (*family.experts.values(), written(run, "mine"))
    )
    for name, tensor in mine.items():
        torch.testing.assert_close(tensor, (alpha[name] + beta[name]) / 2, rtol=0.0, atol=1e-6)


def test_a_resumed_search_merges_nothing_again(searched: Searched) -> None:
    whole = searched(merges=[SUM], evaluations=12, run_dir="whole")
    part = searched(merges=[SUM], evaluations=8, run_dir="part")
    before = {path: path.stat().st_mtime_ns for path in written(part, "sum").iterdir()}
    assert searched(merges=[SUM], evaluations=10, run_dir="part").n_candidates == 10
    assert part.resume(evaluations=12).n_candidates == 12
    assert {path: path.stat().st_mtime_ns for path in written(part, "sum").iterdir()} == before
    scores = [[row.estimate.mean for row in run.candidates if row.estimate is not None] for run in (whole, part)]
    assert scores[0] == scores[1]


def test_another_merge_of_the_same_name_is_another_parent(searched: Searched) -> None:
    searched(merges=[SUM], evaluations=7)
    with pytest.raises(em.EvomergeError, match=r"parents\[2\]\.model"):
        searched(merges=[{**SUM, "parameters": {"weight": 0.4}}], evaluations=7)


def test_it_is_verified_and_the_card_of_an_export_tells_how_it_was_made(searched: Searched) -> None:
    run = searched(merges=[SUM], evaluations=9)
    kinds = {row.name: row.kind for row in run.verify(top=1).rows}
    assert kinds["sum"] in ("baseline", "winner")
    card = (run.export("best", "out") / "README.md").read_text()
    assert "sum is a merge itself" in card
    assert '"operator": "task_arithmetic"' in card.split("recipe.json of sum")[1]


def test_stages_may_merge_it_and_landmarks_are_merges_of_the_others(searched: Searched) -> None:
    stage = {"space": {"kind": "weights", "operator": "task_arithmetic", "layer_blocks": 1, "modules": ["all"]}}
    stages = [
        {"name": "first", **stage, "parents": ["alpha", "sum"]},
        {"name": "second", **stage, "parents": ["first", "beta"]},
    ]
    run = searched(merges=[SUM], space=None, optimiser=None, stages=stages, evaluations=9, landmarks=["sce"])
    first = em.load(run.directory / "stages" / "1-first")
    named = {row.label: row.recipe for row in first.candidates if row.label}
    assert [given.parent for given in named["default sce"].rules[0].inputs] == ["alpha"]
    assert [row.label for row in run.candidates][:3] == ["base", "first", "beta"]


@pytest.mark.parametrize(
    ("merges", "words"),
    [
        ([{"name": "alpha", "operator": "sce"}], "a name that no parent, no other merge and no landmark has"),
        ([{"name": "x"}], "expected an operator, a recipe or a descent, found none of them"),
        ([{"name": "x", "operator": "sce", "parents": ["gamma"]}], "expected one of alpha, beta, found 'gamma'"),
        ([{"name": "x", "operator": "ties", "parameters": {"densty": 1.0}}], "did you mean 'density'"),
        ([{"name": "x", "recipe": "none.yml"}], "expected a file, found nothing at"),
    ],
)
def test_what_is_wrong_with_a_merge_is_told(searched: Searched, merges: list[Any], words: str) -> None:
    with pytest.raises(em.EvomergeError, match=words):
        searched(merges=merges)


def test_plan_does_not_merge(arguments: dict[str, Any]) -> None:
    (plan,) = em.plan(**{**arguments, "merges": [SUM]})
    assert plan.models == ("base", "alpha", "beta", "sum")
    assert not Path("run").exists()


def test_a_file_that_asks_for_statistics_is_given_the_campaign_s_search_items_and_another_asks_anew(
    searched: Searched, family: Family, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVOMERGE_CACHE", str(tmp_path / "cache"))

    def asks_for(prompts: int) -> dict[str, Any]:
        models = [{"model": str(path)} for path in family.experts.values()]
        read = {"tasks": ["sums.jsonl", "words.jsonl"], "prompts": prompts}
        document = {"merge_method": "regmean", "models": models, "dtype": "float32", "statistics": read}
        (tmp_path / "asking.yml").write_text(yaml.safe_dump(document))
        return {"name": "file", "recipe": "asking.yml"}

    shares = {"search": 0.3, "validation": 0.3, "test": 0.4}
    own = {"name": "own", "operator": "regmean"}
    given: dict[str, Any] = {"seed": 3, "splits": shares, "statistics": {"prompts": 5}, "evaluations": 7}
    run = searched(merges=[own, asks_for(5)], **given)
    of_campaign, of_file = (
        Recipe.from_json((written(run, name) / "recipe.json").read_text()).statistics for name in ("own", "file")
    )
    assert of_file == of_campaign
    with pytest.raises(em.EvomergeError, match=r"parents\[3\]\.model"):
        searched(merges=[own, asks_for(4)], **given)
