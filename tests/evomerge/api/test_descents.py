"""Searches that descend on coefficients of real, tiny models: archived, resumed, staged, planned, exported."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import evomerge as em
from evomerge.archive import Archive
from evomerge.optimisers.gradient.descent import NOTE
from search_spaces.layers.architecture import build_module
from search_spaces.live.resident import ResidentModel
from search_spaces.parents.parents import Parents
from tests.conftest import make_family
from tests.evomerge.killing import contents

QUICK = {"items": 5, "every": 2, "steps": 4}


def noted(run: em.Run) -> dict[str, Any]:
    return json.loads(Archive.read(run.directory / "archive.sqlite").noted(NOTE) or "")


def proposals(run: em.Run) -> list[Any]:
    archive = Archive.read(run.directory / "archive.sqlite")
    return [candidate for candidate in archive.candidates() if candidate.proposal is not None]


@pytest.fixture
def arguments(arguments: dict[str, Any]) -> dict[str, Any]:
    """Teachers are named: the experts are noise, and none knows more of a task than the other."""
    objectives = {
        "sums": {"tasks": "sums.jsonl", "expert": "alpha"},
        "words": {"tasks": "words.jsonl", "expert": "beta"},
    }
    arguments["parents"] = {Path(parent).name: parent for parent in arguments["parents"]}
    return {**arguments, "objectives": objectives, "space": None, "evaluations": 30, "landmarks": "none"}


@pytest.mark.parametrize(("per", "coefficients"), [("model", 2), ("group", 10), ("tensor", 40)])
def test_snapshots_are_candidates_whose_loss_falls(
    searched: Callable[..., em.Run], per: str, coefficients: int
) -> None:
    space = em.spaces.Weights("task_arithmetic", layer_blocks=2, genes={"weight": (-1.0, 2.0)})
    run = searched(optimiser=em.optimisers.Gradient(per=per, **QUICK), space=space)
    assert run.ending == "exhausted"
    assert run.n_candidates == 5 + 3  # base, two experts, mean, TIES
    snapshots = noted(run)["snapshots"]
    assert [snapshot[0] for snapshot in snapshots] == [0, 2, 4]
    losses = [snapshot[4] for snapshot in snapshots]
    assert losses == sorted(losses, reverse=True)
    found = proposals(run)
    assert [c.genome.tolist() for c in found] == [snapshot[2] for snapshot in snapshots]
    assert len(found[0].genome) == coefficients
    weights = np.ravel(np.array(snapshots[-1][1]).T)
    assert found[-1].genome * 3 - 1 == pytest.approx(weights)


def test_a_recipe_per_tensor_is_exported_as_it_was_scored(searched: Callable[..., em.Run], tmp_path: Path) -> None:
    run = searched(optimiser=em.optimisers.Gradient(**QUICK))
    last = proposals(run)[-1]
    directory = run.export(last.number, tmp_path / "exported")
    parents = Parents.of(last.recipe)
    resident = ResidentModel(build_module(parents["base"], compute_dtype=torch.float32), parents)
    resident.become(last.recipe)
    (file,) = directory.glob("*.safetensors")
    state = resident.model.state_dict()
    for name, tensor in load_file(file).items():
        assert torch.equal(tensor, state[name])


def test_a_stopped_descent_resumes_to_the_archive_of_a_whole_one(
    searched: Callable[..., em.Run], tmp_path: Path
) -> None:
    def stop(event: object) -> None:
        if isinstance(event, em.events.CandidateTold) and event.evaluation.candidate.proposal == 1:
            raise em.StopSearch

    optimiser = em.optimisers.Gradient(**QUICK)
    whole = searched(optimiser=optimiser, run_dir="whole")
    stopped = searched(optimiser=optimiser, run_dir="stopped", callbacks=stop)
    assert stopped.ending == "stopped"
    assert len(noted(stopped)["snapshots"]) < 4
    resumed = searched(optimiser=optimiser, run_dir="stopped")
    assert noted(resumed) == noted(whole)
    assert contents(tmp_path / "stopped/archive.sqlite") == contents(tmp_path / "whole/archive.sqlite")


def test_a_search_may_begin_where_a_descent_ends(searched: Callable[..., em.Run]) -> None:
    space = em.spaces.Weights("task_arithmetic", layer_blocks=1, genes={"weight": (0.0, 1.5)})
    run = searched(optimiser=em.optimisers.CmaEs(warm_start="gradient"), space=space, evaluations=10)
    snapshots = noted(run)["snapshots"]
    best = min(snapshots, key=lambda snapshot: snapshot[4])
    archive = Archive.read(run.directory / "archive.sqlite")
    assert json.loads(archive.noted("warm_start") or "") == [best[2]]
    labels = [candidate.label for candidate in archive.landmarks()]
    assert labels[-1] == "warm start 1"
    assert archive.n_candidates == 10


def test_a_stage_may_be_a_descent_whose_winner_the_next_one_merges(searched: Callable[..., em.Run]) -> None:
    descent = {"name": "descent", "space": {"operator": "task_arithmetic"}, "optimiser": {"kind": "gradient", **QUICK}}
    genes = {"name": "genes", "space": {"operator": "task_arithmetic", "layer_blocks": 1}, "optimiser": "cma_es"}
    run = searched(optimiser=None, stages=[{**descent, "pick": "best"}, genes], evaluations=9)
    first = em.load(run.directory / "stages" / "1-descent")
    assert first.ending == "exhausted"
    recipe = Archive.read(run.directory / "archive.sqlite").candidate(8).recipe
    assert list(recipe.parents)[1] == "descent"


def test_plan_measures_a_step(arguments: dict[str, Any]) -> None:
    (plan,) = em.plan(**{**arguments, "optimiser": em.optimisers.Gradient(**QUICK)})
    assert plan.cost is not None
    descent = plan.cost.descent
    assert descent is not None
    assert descent.coefficients == 40
    assert descent.total_seconds == descent.preparation_seconds + 4 * descent.seconds
    assert plan.cost.total_seconds > descent.total_seconds
    space = em.spaces.Weights("task_arithmetic", layer_blocks=1)
    (plan,) = em.plan(**{**arguments, "optimiser": "random", "space": space})
    assert plan.cost is not None
    assert plan.cost.descent is None


def test_frank_wolfe_leaves_eighteen_irrelevant_parents_of_twenty_at_zero(
    searched: Callable[..., em.Run], tmp_path: Path
) -> None:
    family = make_family(tmp_path / "many", tuple(f"p{i}" for i in range(20)))
    objectives = {
        "sums": {"tasks": "sums.jsonl", "expert": "p3"},
        "words": {"tasks": "words.jsonl", "expert": "p11"},
    }
    optimiser = em.optimisers.FrankWolfe(items=10)
    run = searched(parents=family.experts, base=family.base, objectives=objectives, optimiser=optimiser, evaluations=40)
    best = min(noted(run)["snapshots"], key=lambda snapshot: snapshot[4])
    weights = np.array(best[1]).ravel()
    assert np.flatnonzero(weights).tolist() == [3, 11]
    found = [c for c in proposals(run) if c.genome.tolist() == best[2]]
    given = {i.parent: i.parameters["weight"] for i in found[0].recipe.rules[0].inputs}
    assert [name for name, weight in given.items() if weight != 0.0] == ["p3", "p11"]
