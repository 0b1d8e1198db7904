"""A folder as the pages speak of it: tiny models, tasks, a campaign file, a finished run."""

from __future__ import annotations

import json
import random
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import make_family
from tests.search_spaces.parents.adapters import save_adapter

CAMPAIGN = """\
name: my-merge
base: ./base
parents: [./arithmetic, ./words]
objectives:
  - {name: words, tasks: [words.jsonl]}
  - {name: numbers, tasks: [numbers.jsonl]}
export: {dtype: float32}
"""
MERGE = """\
merge_method: linear
models:
  - {model: ./arithmetic, parameters: {weight: 0.5}}
  - {model: ./words, parameters: {weight: 0.5}}
dtype: float32
"""
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def write_tasks(folder: Path) -> None:
    """Two tasks of 40 multiple-choice items, on which random models are at chance."""
    chance = random.Random(0)
    for task, characters in (("words", LETTERS), ("numbers", "0123456789")):
        items = []
        for i in range(40):
            choices = ["".join(chance.sample(characters, 3)) for _ in range(3)]
            items.append({"question": f"{task} {i}:", "choices": choices, "gold": chance.randrange(3)})
        (folder / f"{task}.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three models, adapters/, words.jsonl, numbers.jsonl, campaign.yaml, merge.yml, runs/mine."""
    import evomerge as em

    folder = tmp_path_factory.mktemp("examples")
    make_family(folder, ("arithmetic", "words"), layers=6)
    with warnings.catch_warnings(action="ignore", category=FutureWarning):  # peft's
        for seed, name in enumerate(("arithmetic", "words", "codes")):
            save_adapter(folder / "base", folder / "adapters" / name, seed=seed)
    write_tasks(folder)
    (folder / "campaign.yaml").write_text(CAMPAIGN)
    (folder / "merge.yml").write_text(MERGE)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        em.search.from_yaml(
            "campaign.yaml", set={"name": "mine", "space.groups.layer_blocks": 1}, evaluations=16
        ).verify(top=2)
    return folder


@pytest.fixture
def folder(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, where the test stands."""
    copy = tmp_path / "folder"
    shutil.copytree(prepared, copy)
    monkeypatch.chdir(copy)
    monkeypatch.syspath_prepend(str(copy))
    return copy


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], int]:
    """Run one command line in this process, and return its exit code."""
    import shlex
    import sys

    from evomerge.cli.app import main

    def call(line: str) -> int:
        monkeypatch.setattr(sys, "argv", shlex.split(line, comments=True))
        try:
            main()
        except SystemExit as error:
            return int(error.code or 0)
        return 0

    return call
