"""A run that somebody else began does not run what it brings, tasks or plug-ins, unless it is trusted."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

import evomerge as em
from evomerge.archive import Archive
from evomerge.campaign.origin import NOTE, is_ours, signed
from evomerge.campaign.trust import UntrustedCodeError, check_files, foreign_run
from evomerge.config.code import named_code
from evomerge.config.lm_eval_arguments import named_task_files
from tests.conftest import Family
from tests.evomerge.archives import make_version_2
from tests.evomerge.conftest import Outcome, campaign_data, write_tasks

Command = Callable[..., Outcome]
TASK = """
import os, pathlib
(pathlib.Path(__file__).parent / "RAN").touch()

def f(model, tokenizer):
    return {str(i): (i % 3) / 2 for i in range(20)}

f.item_ids = tuple(str(i) for i in range(20))
"""
PLUGIN = """
import pathlib
(pathlib.Path(__file__).parent / "RAN").touch()

class Search:
    def __init__(self, dim):
        self.dim = dim
    def ask(self, n):
        return []
    def tell(self, outcomes):
        pass
"""
REFUSED = "look at the code; if you trust it, add --trust-tasks"


def change(run: Path, *statements: tuple[str, tuple[object, ...]]) -> Path:
    with contextlib.closing(sqlite3.connect(run / "archive.sqlite", isolation_level=None)) as connection:
        for statement, values in statements:
            connection.execute(statement, values)
    return run


def renamed(run: Path, old: str, new: str) -> Path:
    statement = "UPDATE campaign SET value = replace(value, ?, ?) WHERE key = 'campaign'"
    return change(run, (statement, (old, new)))


@pytest.fixture(scope="module")
def begun(family: Family, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a run of this user's that has a Python task beside it."""
    directory = tmp_path_factory.mktemp("begun")
    write_tasks(directory)
    (directory / "t.py").write_text(TASK)
    objectives = [{"name": "words", "tasks": ["words.jsonl"]}, {"name": "own", "tasks": ["python:t.py:f"]}]
    data = campaign_data(family, objectives=objectives, budget={"evaluations": 8}, landmarks="none")
    (directory / "campaign.yaml").write_text(yaml.safe_dump(data))
    em.search.from_yaml(directory / "campaign.yaml", run_dir=directory / "run")
    return directory


@pytest.fixture
def ran(begun: Path) -> Callable[[], bool]:
    """Say whether the task of the run was imported."""
    mark = begun / "RAN"
    mark.unlink(missing_ok=True)
    return mark.exists


@pytest.fixture
def passed_on(begun: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ran: object) -> Path:
    """The run as another user gets it, whose key is another one."""
    monkeypatch.setenv("EVOMERGE_STATE", str(tmp_path / "state"))
    shutil.copytree(begun / "run", tmp_path / "got")
    return tmp_path / "got"


def test_what_a_stranger_began_is_refused_before_anything_is_imported(
    evomerge: Command, passed_on: Path, ran: Callable[[], bool], tmp_path: Path
) -> None:
    small = ("--models", "10", "--out", tmp_path / "small.json")
    commands = [("verify", passed_on), ("plan", passed_on), ("run", passed_on), ("reduce", passed_on, *small)]
    commands += [
        ("run", passed_on / "campaign.yaml", "--run-dir", tmp_path / "new"),
        ("plan", passed_on / "campaign.yaml"),
    ]
    commands += [("run", passed_on, "--set", "seed=1")]
    for arguments in commands:
        done = evomerge(*arguments)
        assert done.code == 2, arguments
        assert REFUSED in done.err, arguments
        assert "objectives[1].tasks[0]: python:" in done.err
        assert len(done.err.strip().splitlines()) <= 5
    for call in (em.load(passed_on).verify, em.load(passed_on).resume, lambda: em.plan(passed_on)):
        with pytest.raises(UntrustedCodeError):
            call()
    assert not ran()


def test_a_function_that_changed_since_the_start_is_refused_by_its_name(evomerge: Command, begun: Path) -> None:
    task = begun / "t.py"
    try:
        for old, new, refused in (("% 3) / 2", "% 2) / 1", True), ("import os", "# mine\nimport os", False)):
            task.write_text(TASK.replace(old, new))
            for arguments in (("run", begun / "run", "--evaluations", 8), ("verify", begun / "run")):
                done = evomerge(*arguments)
                assert ("task 't.f': the text of its function changed" in done.err) == refused, done.err
                assert done.code == int(refused)
    finally:
        task.write_text(TASK)


@pytest.mark.parametrize("option", ["--tasks", "-t", "--include_path", "--incl", "--config", "-C"])
def test_lm_evals_own_command_line_asks_before_task_files_of_a_strangers_run(
    evomerge: Command, passed_on: Path, tmp_path: Path, option: str
) -> None:
    (passed_on / "mine.yaml").write_text("task: mine\ndoc_to_text: !function t.f\n")
    place = passed_on if "incl" in option else passed_on / "mine.yaml"
    if option in ("--config", "-C"):
        place = tmp_path / "config.yaml"
        place.write_text(yaml.safe_dump({"tasks": ["arc_easy", str(passed_on / "mine.yaml")]}))
    for arguments in ([option, place], [f"{option}={place}"]):
        done = evomerge("lm-eval", "run", "--model", "dummy", *arguments)
        assert (done.code, REFUSED in done.err) == (2, True)
    check_files(named_task_files([option, str(place)]), trust=True)


def test_a_link_to_a_file_in_a_strangers_run_is_that_file(passed_on: Path, tmp_path: Path) -> None:
    (passed_on / "t.py").write_text(TASK)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "t.py").symlink_to(passed_on / "t.py")
    assert foreign_run(tmp_path / "mine" / "t.py") == passed_on


def test_pareto_report_and_export_run_nothing(
    evomerge: Command, passed_on: Path, ran: Callable[[], bool], tmp_path: Path
) -> None:
    for arguments in (("pareto", passed_on), ("report", passed_on), ("export", passed_on, "--out", tmp_path / "out")):
        assert evomerge(*arguments).code == 0, arguments
    assert not ran()


def test_trust_is_said_once_for_a_run(evomerge: Command, passed_on: Path, ran: Callable[[], bool]) -> None:
    done = evomerge("verify", passed_on, "--trust-tasks")
    assert done.code == 0, done.err
    assert ran()
    assert "note: runs code: f of " in done.err
    assert evomerge("verify", passed_on).code == 0


def test_a_run_of_ones_own_that_was_moved_is_known(
    evomerge: Command, begun: Path, tmp_path: Path, ran: Callable[[], bool]
) -> None:
    shutil.copytree(begun / "run", tmp_path / "moved")
    done = evomerge("verify", tmp_path / "moved", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["rows"]
    assert "runs code: f of " in done.err


def test_a_run_of_ones_own_whose_record_names_other_code_is_not(evomerge: Command, begun: Path, tmp_path: Path) -> None:
    shutil.copytree(begun / "run", tmp_path / "run")
    (tmp_path / "run" / "t.py").write_text(TASK)
    renamed(tmp_path / "run", f"python:{begun}/t.py:f", f"python:{tmp_path}/run/t.py:f")
    done = evomerge("verify", tmp_path / "run")
    assert (done.code, REFUSED in done.err) == (2, True)
    assert not (tmp_path / "run" / "RAN").exists()


def test_a_relative_path_in_a_record_is_never_run(
    evomerge: Command, begun: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(begun / "run", tmp_path / "run")
    shutil.copy(begun / "t.py", tmp_path / "t.py")
    monkeypatch.chdir(tmp_path)
    renamed(tmp_path / "run", f"python:{begun}/t.py:f", "python:t.py:f")
    for more in ((), ("--trust-tasks",)):
        done = evomerge("verify", "run", *more)
        assert done.code == 2
        assert "expected absolute paths in a run's record" in done.err
    assert not (tmp_path / "RAN").exists()


def test_an_older_run_is_gone_on_with_by_its_campaign_file_and_known_from_then_on(
    evomerge: Command, begun: Path, tmp_path: Path
) -> None:
    shutil.copytree(begun / "run", tmp_path / "run")
    change(tmp_path / "run", ("DELETE FROM campaign WHERE key = ?", (NOTE,)))
    assert "or of an older evomerge" in evomerge("verify", tmp_path / "run").err
    done = evomerge("run", begun / "campaign.yaml", "--run-dir", tmp_path / "run")
    assert done.code == 0, done.err
    assert evomerge("verify", tmp_path / "run").code == 0


def test_a_task_in_a_strangers_run_is_not_evaluated(
    evomerge: Command, passed_on: Path, family: Family, begun: Path, tmp_path: Path
) -> None:
    (passed_on / "deep").mkdir()
    theirs, mark = passed_on / "deep" / "t.py", passed_on / "deep" / "RAN"
    theirs.write_text(TASK)
    done = evomerge("eval", family.base, "--tasks", f"python:{theirs}:f")
    assert (done.code, mark.exists()) == (2, False)
    assert REFUSED in done.err
    own = yaml.safe_load((begun / "campaign.yaml").read_text())
    own["objectives"][1]["tasks"] = ["python:got/deep/t.py:f"]
    write_tasks(tmp_path)
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(own))
    assert evomerge("plan", tmp_path / "own.yaml").code == 2
    assert not mark.exists()
    done = evomerge("eval", family.base, "--tasks", f"python:{theirs}:f", "--trust-tasks")
    assert (done.code, mark.exists()) == (0, True)
    assert f"runs code: f of {theirs}" in done.err


def test_without_a_place_for_a_key_runs_go_on_and_only_strangers_code_needs_the_flag(
    evomerge: Command, begun: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("EVOMERGE_STATE", str(tmp_path / "file" / "state"))
    run = tmp_path / "run"
    assert evomerge("run", begun / "campaign.yaml", "--run-dir", run).code == 0
    assert evomerge("verify", run).code == 2
    assert evomerge("verify", run, "--trust-tasks").code == 0
    monkeypatch.delenv("EVOMERGE_STATE")
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # as for a user that the system does not know
    assert signed([]) == ""
    assert not is_ours("x")


def test_plug_ins_of_a_strangers_run_are_not_imported(
    evomerge: Command, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even the libraries that are installed can do harm, told how: subprocess:run is a function with options."""
    (tmp_path / "theirs_to_plug.py").write_text(PLUGIN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("EVOMERGE_STATE", str(tmp_path / "state"))
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    old = yaml.safe_load(Archive.read(run / "archive.sqlite").campaign)
    old["optimiser"] = {"kind": "theirs_to_plug:Search"}
    change(run, ("UPDATE campaign SET value = ? WHERE key = 'campaign'", (yaml.safe_dump(old),)))
    for arguments in (("pareto", run), ("pareto", run, "--json"), ("report", run), ("export", run, "--out", "out")):
        assert evomerge(*arguments).code == 0, arguments
    for arguments in (("verify", run), ("run", run), ("plan", run)):
        done = evomerge(*arguments)
        assert (done.code, "optimiser.kind: theirs_to_plug:Search" in done.err) == (2, True), arguments
    with pytest.raises(UntrustedCodeError):
        _ = em.load(run).config
    assert not (tmp_path / "RAN").exists()


def test_looking_at_a_run_finds_no_modules_beside_it(
    evomerge: Command, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A module of the name of a library that is not installed would be taken for it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place not in ("", str(tmp_path))])
    assert evomerge("pareto", finished).code == 0
    assert str(tmp_path) not in sys.path
    evomerge("plan", "there_is_none.yaml")
    assert sys.path[-1] == str(tmp_path)


def test_operators_by_their_dotpath_are_not_imported_for_a_strangers_recipe(
    evomerge: Command,
    finished: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    campaign_file: Callable[..., Path],
) -> None:
    (tmp_path / "theirs_to_merge.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("EVOMERGE_STATE", str(tmp_path / "state"))
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    make_version_2(run / "archive.sqlite")  # without digests, which a stranger would write anew
    with contextlib.closing(sqlite3.connect(run / "archive.sqlite", isolation_level=None)) as connection:
        for number, recipe in connection.execute("SELECT number, recipe FROM candidates").fetchall():
            text = zlib.decompress(recipe).decode().replace('"task_arithmetic"', '"theirs_to_merge:Search"')
            text = text.replace('"ties"', '"theirs_to_merge:Search"').replace('"linear"', '"theirs_to_merge:Search"')
            connection.execute(
                "UPDATE candidates SET recipe = ? WHERE number = ?", (zlib.compress(text.encode()), number)
            )
    for arguments in (("pareto", run), ("report", run)):
        assert evomerge(*arguments).code == 0, arguments
    done = evomerge("export", run, "--out", tmp_path / "out")
    assert (done.code, "theirs_to_merge:Search names code" in done.err) == (1, True)
    path = campaign_file(optimiser={"kind": "cma_es", "warm_start": [str(run)]})
    done = evomerge("run", path, "--run-dir", tmp_path / "own")
    assert (done.code, "fits this space" in done.err) == (1, True)
    assert not (tmp_path / "RAN").exists()


def test_another_programs_archive_makes_no_run_of_a_directory(begun: Path, tmp_path: Path) -> None:
    (tmp_path / "archive.sqlite").write_text("notes of a beekeeper")
    (tmp_path / "below").mkdir()
    assert foreign_run(tmp_path / "below" / "t.py") is None
    assert foreign_run(begun / "run" / "stages" / "t.py") is None
    shutil.copytree(begun / "run", tmp_path / "below" / "run")
    change(tmp_path / "below" / "run", ("DELETE FROM campaign WHERE key = ?", (NOTE,)))
    assert foreign_run(tmp_path / "below" / "run" / "deep" / "t.py") == tmp_path / "below" / "run"


def test_every_kind_of_code_that_a_campaign_can_name_is_found() -> None:
    data = {
        "name": "a:b",
        "parents": ["org/model", {"model": "/m", "name": "x:y"}],
        "objectives": [
            {"name": "o:p", "tasks": ["a.jsonl:acc", "python:t.py:f", "arc_easy:acc", "/y/t.yaml:acc"]},
            {"name": "q", "tasks": "python:m.n:f"},
        ],
        "lm_eval": {"include_path": "/tasks"},
        "estimator": "m:E",
        "space": {"kind": "weights", "operator": ["ties", "m:OP"]},
        "optimiser": {"kind": "subprocess:run", "args": "touch x"},
        "schedule": {"kind": "screen", "then": {"kind": "m:S"}},
        "landmarks": ["m:L"],
        "merges": [{"name": "z", "recipe": "/r.yml"}],
        "stages": [{"space": {"kind": "m:Space"}, "optimiser": {"kind": "m:O"}}],
    }
    data["itself"] = data
    assert {one.key for one in named_code(data)} == {
        "objectives[0].tasks[1]",
        "objectives[0].tasks[3]",
        "objectives[1].tasks[0]",
        "lm_eval.include_path",
        "estimator",
        "space.operator[1]",
        "optimiser.kind",
        "schedule.then.kind",
        "landmarks[0]",
        "merges[0].recipe",
        "stages[0].space.kind",
        "stages[0].optimiser.kind",
    }
    assert [one.is_relative for one in named_code(data)[-5:]].count(True) == 1
    for other in (None, [], "x", {"objectives": 3}, {"objectives": [3, {"tasks": 4}]}):
        assert named_code(other) == ()


@pytest.mark.parametrize(
    "record", [None, "", "x", "[]", "{}", '{"code": 3, "by": 4}', '{"code": [], "by": "00"}', "[" * 9999]
)
def test_a_record_that_nobody_signed_is_nobodys(record: str | None) -> None:
    assert not is_ours(record)


def test_a_record_holds_for_its_own_code_and_its_own_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVOMERGE_STATE", str(tmp_path / "mine"))
    record = signed(["b", "a"])
    assert is_ours(record)
    assert is_ours(record, ["a"])
    assert not is_ours(record, ["c"])
    assert not is_ours(record.replace('"b"', '"c"'), ["c"])
    key = tmp_path / "mine" / "key"
    assert key.stat().st_mode & 0o777 == 0o600
    assert key.read_text() not in record
    monkeypatch.setenv("EVOMERGE_STATE", str(tmp_path / "theirs"))
    assert not is_ours(record)
    signed([])
    assert not is_ours(record)
