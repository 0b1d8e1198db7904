"""docs/security.md is about the commands that there are, and says of them what they do."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from typing import Any

import pytest
import typer.main
import yaml

from evomerge.cli.app import app
from tests.conftest import Family
from tests.docs.examples import ROOT
from tests.evomerge.conftest import campaign_data, write_tasks

COLUMNS = ("reads", "writes", "runs", "sends")
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in (ROOT / "docs" / "security.md").read_text().splitlines()
    if line.startswith("| `")
]
SAYS = {row[0].strip("`"): dict(zip(COLUMNS, row[1:], strict=True)) for row in ROWS}
# Every command in one process that notes what is opened for writing, and to whom it would speak.
WATCHED = """
import json, os, sys
told, opened, code = [], [], {}

def watch(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
        told.append([now, event, repr(arguments[1:] if event == "socket.connect" else arguments)])
        raise OSError("no network in this test")
    if event == "open" and isinstance(arguments[0], str) and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        opened.append([now, os.path.abspath(arguments[0])])

sys.addaudithook(watch)
from evomerge.cli.app import main
for number, arguments in enumerate(json.loads(sys.argv[1])):
    now = f"{number} {arguments[0]}"
    sys.argv = ["evomerge", *arguments]
    try:
        main()
        code[now] = 0
    except SystemExit as error:
        code[now] = error.code or 0
now = "end"
print(json.dumps({"told": told, "opened": opened, "code": code}), file=sys.stderr)
"""


def commands() -> dict[str, Any]:
    """Return every command by its name, those of groups by both."""
    found: dict[str, Any] = {}
    for name, command in typer.main.get_command(app).commands.items():  # type: ignore[attr-defined]
        below = getattr(command, "commands", None)
        found |= {name: command} if below is None else {f"{name} {each}": one for each, one in below.items()}
    return found


def test_every_command_has_its_row_and_every_row_its_command() -> None:
    assert set(SAYS) == set(commands())
    assert all(cell for row in SAYS.values() for cell in row.values())


def test_the_commands_that_run_tasks_are_those_that_ask_for_trust() -> None:
    asking = {n for n, c in commands().items() if any("--trust-tasks" in p.opts for p in c.params)} | {"lm-eval"}
    assert asking == {name for name, row in SAYS.items() if "--trust-tasks" in row["runs"]}
    assert {name for name, row in SAYS.items() if row["runs"].startswith("nothing")} == (
        set(commands()) - asking - {"merge"}
    )


def test_what_the_page_says_of_libraries_is_what_the_program_sets() -> None:
    text = (ROOT / "docs" / "security.md").read_text()
    from evomerge.cli.app import _SILENT

    assert {
        name for name in re.findall(r"`([A-Z_]{8,})`", text) if name.startswith(("HF_HUB_DIS", "HF_UP", "USE_"))
    } == (set(_SILENT) - {"RAY_USAGE_STATS_ENABLED"})


@pytest.fixture(scope="module")
def watched(family: Family, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What all commands opened and whom they would have told, with models and tasks of this machine only."""
    root = tmp_path_factory.mktemp("watched")
    write_tasks(root)
    (root / "c.yaml").write_text(yaml.safe_dump(campaign_data(family, budget={"evaluations": 6}, landmarks="none")))
    models = [{"model": str(path), "parameters": {"weight": 0.5}} for path in family.experts.values()]
    (root / "m.yml").write_text(yaml.safe_dump({"merge_method": "linear", "models": models, "dtype": "float32"}))
    lines = [
        ["init", *map(str, family.experts.values()), "--base", str(family.base), "--out", "i.yaml"],
        ["plan", "c.yaml"],
        ["prefetch", "c.yaml"],
        ["run", "c.yaml", "--run-dir", "run"],
        ["pareto", "run"],
        ["answers", "run"],
        ["report", "run"],
        ["export", "run", "--out", "exported"],
        ["verify", "run"],
        ["pareto", "run", "--json"],
        ["archive", "check", "run"],
        ["archive", "copy", "run", "copy"],
        ["merge", "m.yml", "merged"],
        ["eval", str(family.base), "--tasks", "words.jsonl", "--out", "scores.json"],
        ["doctor"],
    ]
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "RAY_", "EVOMERGE_"))}
    environment["PYTHONPATH"] = str(ROOT)
    for name in ("EVOMERGE_CACHE", "EVOMERGE_STATE", "HF_HOME", "MPLCONFIGDIR", "TMPDIR"):
        environment[name] = str(root / name)
    (root / "TMPDIR").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", WATCHED, json.dumps(lines)],
        cwd=root,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    found = json.loads(done.stderr.splitlines()[-1])
    assert set(found["code"].values()) == {0}, done.stderr[-2000:]
    return {**found, "root": root, "lines": lines}


@pytest.mark.slow
def test_no_command_speaks_to_anybody_about_what_is_on_this_machine(watched: dict[str, Any]) -> None:
    assert watched["told"] == []


WRITES = {
    "init": ("i.yaml", ".campaign.schema.json"),
    "plan": ("EVOMERGE_CACHE",),
    "prefetch": ("EVOMERGE_CACHE",),
    "run": ("run", "EVOMERGE_CACHE", "EVOMERGE_STATE", "MPLCONFIGDIR"),
    "pareto": ("run/archive.sqlite-",),  # SQLite's own, gone afterwards
    "answers": ("run/archive.sqlite-",),
    "report": ("run", "MPLCONFIGDIR"),
    "export": ("exported", ".exported", "EVOMERGE_CACHE", "run/archive.sqlite-"),
    "verify": ("run", "EVOMERGE_CACHE", "MPLCONFIGDIR"),
    "archive": ("copy", "run/archive.sqlite-"),
    "merge": ("merged", ".merged", "EVOMERGE_CACHE"),
    "eval": ("scores.json", ".scores.json", "EVOMERGE_CACHE"),
    "doctor": (),
}


@pytest.mark.slow
def test_no_command_writes_elsewhere_than_the_page_says(watched: dict[str, Any]) -> None:
    root = watched["root"]
    libraries = ("/dev/", "/proc/", *(str(root / name) for name in ("TMPDIR", "HF_HOME", "EVOMERGE_CACHE/kernels")))
    for command, path in watched["opened"]:
        own = WRITES[command.partition(" ")[2]]
        allowed = tuple(str(root / name) for name in own)
        # A file is written beside its place, and takes it when it is whole.
        beside = (
            own
            and re.fullmatch(r"\.evomerge-[0-9a-f]+\.partial", os.path.basename(path))
            and os.path.dirname(path) == str(root)
        )
        assert beside or path.startswith((*allowed, *libraries)) or "__pycache__" in path, (command, path)
    assert {name for name, row in SAYS.items() if row["writes"] == "nothing"} == {"answers", "archive check", "doctor"}
