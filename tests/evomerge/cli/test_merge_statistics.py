"""`evomerge merge` with methods that read what parents compute on prompts."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from safetensors.torch import load_file

from tests.conftest import Family
from tests.evomerge.conftest import Outcome, write_tasks

Command = Callable[..., Outcome]


@pytest.fixture
def file(tmp_path: Path, family: Family, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    monkeypatch.setenv("EVOMERGE_CACHE", str(tmp_path / "cache"))
    write_tasks(tmp_path)

    def write(method: str = "regmean", **keys: Any) -> Path:
        data = {
            "merge_method": method,
            "base_model": str(family.base),
            "models": [{"model": str(expert)} for expert in family.experts.values()],
            "dtype": "float32",
            **keys,
        }
        path = tmp_path / "merge.yml"
        path.write_text(yaml.safe_dump(data))
        return path

    return write


def test_what_the_method_reads_is_collected_once_and_the_recipe_names_it(
    evomerge: Command, file: Callable[..., Path], tmp_path: Path
) -> None:
    path = file(statistics={"tasks": [{"sums.jsonl": "beta"}, "words.jsonl"], "prompts": 3})
    first = evomerge("merge", path, tmp_path / "one")
    assert first.code == 0, first.err
    assert "reading" in first.out
    again = evomerge("merge", path, tmp_path / "two")
    assert "reading" not in again.out
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "two"))
    assert all(one[name].equal(two[name]) for name in one)
    noted = json.loads((tmp_path / "one" / "recipe.json").read_text())["statistics"]
    assert noted.keys() == {"alpha", "beta"}
    third = evomerge("merge", tmp_path / "one" / "recipe.json", tmp_path / "three")
    assert third.code == 0, third.err


def test_every_parent_reads_a_calibration_file(evomerge: Command, file: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "own.jsonl").write_text('{"text": "a text"}\n{"prompt": "go on"}\n{"text": "not read"}\n')
    done = evomerge("merge", file(statistics={"calibration": "own.jsonl", "prompts": 2}), tmp_path / "out")
    assert done.code == 0, done.err
    assert "reading 4 prompts with 2 parents: statistics for regmean" in done.out


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({}, "statistics: expected the key, as regmean reads what parents compute, found none"),
        ({"statistics": {"tasks": ["none.jsonl"]}}, "none.jsonl"),
        ({"statistics": {"tasks": [{"sums.jsonl": "base"}]}}, "expected one of alpha, beta for"),
    ],
)
def test_what_is_missing_is_said_in_one_sentence(
    evomerge: Command, file: Callable[..., Path], tmp_path: Path, keys: dict[str, Any], message: str
) -> None:
    done = evomerge("merge", file(**keys), tmp_path / "out")
    assert done.code == 1
    assert message in " ".join(done.err.split())
    assert not (tmp_path / "out").exists()


def test_a_method_that_reads_nothing_says_so_and_merges(
    evomerge: Command, file: Callable[..., Path], tmp_path: Path
) -> None:
    path = file("task_arithmetic", statistics={"tasks": ["sums.jsonl"]}, parameters={"weight": 0.5})
    done = evomerge("merge", path, tmp_path / "out")
    assert done.code == 0, done.err
    assert "statistics: nothing was read, as task_arithmetic knows no more than weights" in done.err
