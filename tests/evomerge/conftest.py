"""A campaign over the tiny family, and the command line in this process."""

from __future__ import annotations

import contextlib
import json
import random
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from fitness.scores import Split
from tests.conftest import Family


@dataclass(frozen=True)
class Outcome:
    """What a command left behind."""

    code: int
    out: str
    err: str


@pytest.fixture
def evomerge(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Run a command line, as the installed program does."""
    from evomerge.cli.app import main

    def call(*arguments: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["evomerge", *map(str, arguments)])
        monkeypatch.setenv("COLUMNS", "200")
        capfd.readouterr()
        code = 0
        try:
            main()
        except SystemExit as error:
            code = int(error.code or 0)
        out, err = capfd.readouterr()
        assert "Traceback" not in out + err
        return Outcome(code, out, err)

    return call


def write_tasks(directory: Path) -> None:
    """Two multiple-choice tasks of 40 items; random models are at chance on them."""
    chance = random.Random(0)
    for task in ("sums", "words"):
        lines = []
        for i in range(40):
            choices = [str(n) for n in chance.sample(range(10, 30), 3)]
            lines.append(json.dumps({"question": f"{task} {i}:", "choices": choices, "gold": chance.randrange(3)}))
        (directory / f"{task}.jsonl").write_text("\n".join(lines) + "\n")


def n_items(run: Path, split: Split, task: str = "") -> int:
    """How many items of a split, of a task or of all, a run's archive has scores of."""
    from evomerge.archive import Archive

    with contextlib.closing(Archive.read(run / "archive.sqlite")) as archive:
        answered = {item for _, items in archive.answered(split) for item in items}
    return len([item for item in answered if item.startswith(task)])


def campaign_data(family: Family, **overrides: object) -> dict[str, object]:
    data: dict[str, object] = {
        "name": "tiny",
        "base": str(family.base),
        "parents": [str(path) for path in family.experts.values()],
        "space": {
            "operator": ["task_arithmetic", "ties"],
            "groups": {"layer_blocks": 2},
            "genes": {"weight": [0.0, 1.5]},
        },
        "objectives": [{"name": task, "tasks": [f"{task}.jsonl"]} for task in ("sums", "words")],
        "optimiser": {"kind": "nsga2", "population": 4},
        "budget": {"evaluations": 12},
        "export": {"dtype": "float32"},
    }
    return {**data, **overrides}


@pytest.fixture
def campaign_file(tmp_path: Path, family: Family) -> Callable[..., Path]:
    """Write a campaign file with its tasks; keywords replace top-level keys."""

    def write(**overrides: object) -> Path:
        write_tasks(tmp_path)
        path = tmp_path / "campaign.yaml"
        path.write_text(yaml.safe_dump(campaign_data(family, **overrides)))
        return path

    return write


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, family: Family) -> Path:
    """The directory of a finished, verified run. Read-only."""
    from evomerge.api.search import search

    directory = tmp_path_factory.mktemp("finished")
    write_tasks(directory)
    (directory / "campaign.yaml").write_text(yaml.safe_dump(campaign_data(family)))
    run = search.from_yaml(directory / "campaign.yaml", run_dir=directory / "run")
    run.verify(top=2)
    run.report()
    return run.directory
