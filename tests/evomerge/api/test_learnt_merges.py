"""Merges whose coefficients a descent learns: parents of a search, written once; and a descent as a landmark."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

import evomerge as em
from evomerge.archive import Archive
from evomerge.assembly.learnt_merge import LearntMerge
from tests.conftest import Family
from tests.evomerge.api.test_descents import QUICK
from tests.evomerge.killing import contents

Searched = Callable[..., em.Run]
COLUMNS = {"name": "learned", "descent": {"per": "column", "objective": "kl", **QUICK}}


@pytest.fixture
def arguments(arguments: dict[str, Any]) -> dict[str, Any]:
    """Teachers are named: the experts are noise, and none knows more of a task than the other."""
    objectives = {
        "sums": {"tasks": "sums.jsonl", "expert": "alpha"},
        "words": {"tasks": "words.jsonl", "expert": "beta"},
    }
    parents = {Path(parent).name: parent for parent in arguments["parents"]}
    return {**arguments, "parents": parents, "objectives": objectives, "landmarks": "none", "evaluations": 8}


def written(run: em.Run) -> Path:
    (found,) = (run.directory / "parents").glob("learned-*")
    return found


def weights_of(directory: Path) -> dict[str, torch.Tensor]:
    return load_file(directory / "model.safetensors")


def test_each_column_of_the_learnt_parent_is_the_bases_and_multiples_of_the_task_vectors(
    searched: Searched, family: Family
) -> None:
    run = searched(merges=[COLUMNS])
    assert [row.label for row in run.candidates][:4] == ["base", "alpha", "beta", "learned"]
    told = json.loads((written(run) / "descent.json").read_text())
    losses = [row["held back"] for row in told["snapshots"]]
    assert min(losses) < losses[0]
    assert told["taken"] == told["snapshots"][int(np.argmin(losses))]["step"]
    assert written(run).name == f"learned-{told['digest'][:12]}"
    base, alpha, beta = map(weights_of, (family.base, *(family.experts[name] for name in ("alpha", "beta"))))
    differ = 0
    for name, tensor in weights_of(written(run)).items():
        deltas = torch.stack([alpha[name] - base[name], beta[name] - base[name]]).double()
        change = (tensor - base[name]).double()
        if tensor.ndim == 1:
            deltas, change = deltas[:, None], change[None]
        found = []
        for column in range(change.shape[-1]) if tensor.ndim > 1 else [slice(None)]:
            own = deltas[:, :, column] if tensor.ndim > 1 else deltas[:, 0]
            aim = change[:, column] if tensor.ndim > 1 else change[0]
            solution = torch.linalg.lstsq(own.T, aim).solution
            torch.testing.assert_close(own.T @ solution, aim, rtol=0.0, atol=1e-6)
            found.append(solution)
        differ += len({tuple(np.round(one.numpy(), 3)) for one in found}) > 1
    assert differ > 10


def test_a_resumed_search_learns_nothing_again(searched: Searched) -> None:
    whole = searched(merges=[COLUMNS], evaluations=10, run_dir="whole")
    part = searched(merges=[COLUMNS], evaluations=8, run_dir="part")
    before = {path: path.stat().st_mtime_ns for path in written(part).iterdir()}
    assert not list((part.directory / "parents").glob(".*"))
    searched(merges=[COLUMNS], evaluations=9, run_dir="part")
    assert part.resume(evaluations=10).n_candidates == 10
    assert {path: path.stat().st_mtime_ns for path in written(part).iterdir()} == before
    scores = [[row.estimate.mean for row in run.candidates if row.estimate is not None] for run in (whole, part)]
    assert scores[0] == scores[1]


def test_a_killed_descent_goes_on_to_the_weights_of_a_whole_one(searched: Searched) -> None:
    class Killed(BaseException):
        pass

    def kill(event: object) -> None:
        if isinstance(event, em.events.Noted) and event.text.startswith("step 2,"):
            raise Killed

    with pytest.raises(Killed):
        searched(merges=[COLUMNS], run_dir="killed", callbacks=kill)
    (noted,) = Path("killed/parents").iterdir()  # nothing else is there yet
    assert [snapshot[0] for snapshot in json.loads(noted.read_text())["snapshots"]] == [0, 2]
    killed = searched(merges=[COLUMNS], run_dir="killed")
    whole = searched(merges=[COLUMNS], run_dir="whole")
    own, expected = weights_of(written(killed)), weights_of(written(whole))
    assert all(torch.equal(own[name], tensor) for name, tensor in expected.items())


def test_a_merge_around_it_is_exported_verified_and_tells_how_it_was_learnt(searched: Searched) -> None:
    run = searched(merges=[COLUMNS], evaluations=9)
    kinds = {row.name: row.kind for row in run.verify(top=1).rows}
    assert kinds["learned"] in ("baseline", "winner")  # a merge, not what winners have to be better than
    found = run.candidates[-1]
    assert {given.parent for given in found.recipe.rules[0].inputs} == {"alpha", "beta", "learned"}
    directory = run.export(found.number, "out")
    model = AutoModelForCausalLM.from_pretrained(directory)
    state = model.state_dict()
    assert all(torch.equal(state[name], tensor) for name, tensor in weights_of(directory).items())
    assert '"per": "column"' in (directory / "README.md").read_text().split("descent.json of learned")[1]
    AutoModelForCausalLM.from_pretrained(written(run))


def test_per_tensor_it_has_a_recipe_that_builds_it(searched: Searched) -> None:
    run = searched(merges=[{"name": "learned", "descent": {"per": "tensor", **QUICK}}], evaluations=4)
    em.merge(written(run) / "recipe.json", "again")
    again = weights_of(Path("again"))
    assert all(torch.equal(again[name], tensor) for name, tensor in weights_of(written(run)).items())


def test_another_descent_of_the_same_name_is_another_parent(
    searched: Searched, monkeypatch: pytest.MonkeyPatch
) -> None:
    digests = []
    monkeypatch.setattr(LearntMerge, "write", lambda self, target, say: digests.append(self.digest) or 1 / 0)
    for descent in ({"per": "column"}, {"per": "column", "rate": 0.01}, {"per": "column", "rate": 0.02}):
        with pytest.raises(ZeroDivisionError):
            searched(merges=[{"name": "learned", "descent": descent}])
    assert digests[0] == digests[2] != digests[1]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"optimiser": {"kind": "gradient", "per": "column"}, "space": None}, "write merges: [{name: learned"),
        ({"merges": [COLUMNS], "base": None}, "expected a base with a descent, which is on task vectors, found none"),
        ({"merges": [{**COLUMNS, "operator": "sce"}]}, "an operator, a recipe or a descent, found operator and desc"),
        ({"merges": [{**COLUMNS, "parameters": {"weight": 1.0}}]}, "expected no such key beside descent"),
        ({"merges": [{"name": "x", "descent": {"per": "row"}}]}, "descent.per"),
    ],
)
def test_what_is_wrong_is_told(searched: Searched, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(em.EvomergeError, match=re.escape(words)):
        searched(**changes)


def test_a_descent_is_a_landmark_where_the_search_begins_and_is_never_repeated(
    searched: Searched, tmp_path: Path
) -> None:
    def stop(event: object) -> None:
        if isinstance(event, em.events.CandidateTold) and event.evaluation.candidate.proposal == 0:
            raise em.StopSearch

    space = em.spaces.Weights("task_arithmetic", layer_blocks=1, modules=["attention", "mlp"])
    changes = {"landmarks": ["gradient"], "space": space, "optimiser": em.optimisers.CmaEs(population=4)}
    whole = searched(**changes, evaluations=10, run_dir="whole")
    archive = Archive.read(tmp_path / "whole/archive.sqlite")
    landmark = archive.landmarks()[-1]
    assert landmark.label == "gradient descent"
    snapshots = json.loads(archive.noted("landmark descent") or "")["snapshots"]
    best = min(snapshots, key=lambda snapshot: snapshot[4])
    assert snapshots[0][4] > best[4]
    given = [dict(i.parameters)["weight"] for rule in landmark.recipe.rules for i in rule.inputs if i.parameters]
    assert given == pytest.approx(np.ravel(np.array(best[1]).T).tolist(), abs=1e-5)
    assert searched(**changes, evaluations=10, run_dir="part", callbacks=stop).ending == "stopped"
    searched(**changes, evaluations=10, run_dir="part")
    assert contents(tmp_path / "part/archive.sqlite") == contents(tmp_path / "whole/archive.sqlite")
    assert whole.n_candidates == 10


@pytest.mark.parametrize(("evaluations", "is_one"), [(40, False), (10**6, True)])
def test_auto_takes_the_descent_where_it_costs_less_than_a_tenth(
    searched: Searched, evaluations: int, is_one: bool
) -> None:
    def stop(event: object) -> None:
        if isinstance(event, em.events.CandidateTold):
            raise em.StopSearch

    run = searched(landmarks="auto", evaluations=evaluations, callbacks=stop)
    noted = json.loads(Archive.read(run.directory / "archive.sqlite").noted("landmarks") or "")
    assert noted["descent"] is is_one
    assert any("gradient descent: left out, to descend takes" in line for line in noted["notes"]) is not is_one
