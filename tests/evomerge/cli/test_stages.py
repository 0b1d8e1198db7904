"""Campaigns of several stages: the winner of each is a parent of the next."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from evomerge.archive import Archive
from evomerge.config import load_campaign
from evomerge.config.errors import ConfigError
from tests.conftest import Family
from tests.evomerge.conftest import Outcome, campaign_data, write_tasks

Command = Callable[..., Outcome]
HEAD = """\
base: hub/base
parents: [hub/a, hub/b]
objectives: [{name: maths, tasks: [gsm8k]}]
"""
AVERAGES = {"operator": "task_arithmetic", "groups": {"layer_blocks": 1}}


@pytest.fixture
def staged(tmp_path: Path, family: Family) -> Path:
    """A campaign of two stages: six averages, then six slerps of the winner and one parent."""
    write_tasks(tmp_path)
    data: dict[str, Any] = campaign_data(family, budget={"evaluations": 7})
    del data["space"], data["optimiser"]
    slerp = {"operator": "slerp", "groups": {"layer_blocks": 1}}
    data["stages"] = [
        {"name": "averages", "space": AVERAGES, "optimiser": {"kind": "random"}},
        {"name": "slerps", "space": slerp, "optimiser": {"kind": "random"}, "parents": ["averages", "beta"]},
    ]
    file = tmp_path / "campaign.yaml"
    file.write_text(yaml.safe_dump(data))
    return file


def test_the_winner_of_a_stage_is_a_parent_of_the_next(evomerge: Command, staged: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    done = evomerge("run", staged, "--run-dir", run)
    assert done.code == 0, done.err
    winner = run / "stages" / "1-averages" / "exports" / "winner"
    assert (winner / "config.json").is_file()
    archive = Archive.read(run / "archive.sqlite")
    assert archive.n_candidates == 7
    parents = archive.candidate(6).recipe.parents
    assert parents["averages"].model == str(winner)
    assert [c.label for c in archive.landmarks()][:3] == ["base", "averages", "beta"]
    picked = Archive.read(run / "stages" / "1-averages" / "archive.sqlite")
    assert archive.scores(1, "search") in [picked.scores(n, "search") for n in range(7)]


def test_a_finished_stage_is_not_searched_again(evomerge: Command, staged: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    evomerge("run", staged, "--run-dir", run)
    first = run / "stages" / "1-averages" / "archive.sqlite"
    before = first.read_bytes()
    done = evomerge("run", staged, "--run-dir", run, "--evaluations", 9)
    assert done.code == 0, done.err
    assert first.read_bytes() == before
    assert Archive.read(run / "archive.sqlite").n_candidates == 9


def test_every_later_command_speaks_of_the_last_stage(evomerge: Command, staged: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    evomerge("run", staged, "--run-dir", run)
    assert "7 evaluations, 0 failures" in evomerge("pareto", run).out
    assert evomerge("verify", run).code == 0
    assert evomerge("export", run, "--pick", "winner", "--out", tmp_path / "out").code == 0


def test_plan_measures_a_later_stage_with_a_parent_in_the_winners_place(evomerge: Command, staged: Path) -> None:
    done = evomerge("plan", staged)
    assert done.code == 0, done.err
    assert "averages" in done.out
    assert "slerps" in done.out


@pytest.mark.parametrize(
    ("stages", "key", "message"),
    [
        ("[{name: a, space: {}}]", "stages[0].name", "no parent and no other stage has"),
        ("[{name: one, space: {}}, {name: one, space: {}}]", "stages[1].name", "no parent and no other stage has"),
        ("[{name: x/y, space: {}}]", "stages[0].name", "a directory's"),
        ("[{name: one, space: {}, parents: [a, two]}]", "stages[0].parents[1]", "expected one of a, b"),
        ("[{name: one, space: {}}, {name: two, space: {operator: slerp}}]", "stages[1].space.operator", "exactly two"),
        ("[{name: one, space: {kind: weight}}]", "stages[0].space.kind", "did you mean 'weights'"),
        ("[{name: one, space: {}, pick: winner}]", "stages[0].pick", "knee, best or best:OBJECTIVE"),
        ("[{name: one}]", "stages[0].space", "expected this key"),
    ],
)
def test_a_stage_that_cannot_be_is_refused_with_its_key(tmp_path: Path, stages: str, key: str, message: str) -> None:
    file = tmp_path / "campaign.yaml"
    file.write_text(f"{HEAD}stages: {stages}\n")
    with pytest.raises(ConfigError) as caught:
        load_campaign(file, files_must_exist=False)
    assert f"{key}: " in str(caught.value)
    assert message in str(caught.value)


def test_a_space_beside_stages_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "campaign.yaml"
    file.write_text(f"{HEAD}space: {{}}\nstages: [{{name: one, space: {{}}}}]\n")
    with pytest.raises(ConfigError, match="space: expected no such key beside stages"):
        load_campaign(file, files_must_exist=False)
