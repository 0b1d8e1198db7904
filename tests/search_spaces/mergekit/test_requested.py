"""The key `statistics` of a recipe in mergekit's YAML."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from search_spaces.errors import SpaceError
from search_spaces.mergekit.reading import read_mergekit, read_with_remarks
from search_spaces.mergekit.requested import RequestedStatistics
from tests.conftest import Family


@pytest.fixture
def file(tmp_path: Path, family: Family):
    for name in ("a.jsonl", "b.jsonl"):
        (tmp_path / name).write_text('{"text": "one"}\n')

    def write(statistics: object, **keys: Any) -> Path:
        data = {
            "merge_method": "regmean",
            "models": [{"model": str(expert)} for expert in family.experts.values()],
            "dtype": "float32",
            "statistics": statistics,
            **keys,
        }
        path = tmp_path / "merge.yml"
        path.write_text(yaml.safe_dump(data))
        return path

    return write


def test_tasks_may_name_their_parents_by_name_or_as_the_file_refers_to_them(
    file: Any, tmp_path: Path, family: Family
) -> None:
    reference = str(family.experts["beta"])
    path = file({"tasks": ["arc_easy", {"a.jsonl": "alpha"}, {"b.jsonl": reference}], "prompts": 9})
    a, b = (str(tmp_path / name) for name in ("a.jsonl", "b.jsonl"))
    expected = RequestedStatistics(("arc_easy", a, b), {a: "alpha", b: "beta"}, 9)
    assert read_with_remarks(path).requested == expected
    assert read_mergekit(path).statistics == {}


def test_files_are_found_beside_the_recipe(file: Any, tmp_path: Path) -> None:
    found = read_with_remarks(file({"calibration": "a.jsonl", "moments": {"alpha": "b.jsonl"}})).requested
    assert found == RequestedStatistics(calibration=tmp_path / "a.jsonl", moments={"alpha": tmp_path / "b.jsonl"})


def test_a_base_that_is_not_listed_only_donates_the_config(file: Any, family: Family) -> None:
    recipe = read_mergekit(file({"tasks": ["a.jsonl"]}, base_model=str(family.base)))
    assert [given.parent for given in recipe.rules[0].inputs] == ["alpha", "beta"]
    assert recipe.base == "base"


@pytest.mark.parametrize(
    ("statistics", "message"),
    [
        ({"task": ["a.jsonl"]}, r"statistics: expected keys among .*, found 'task' \(did you mean 'tasks'\?\)"),
        ({}, r"statistics: expected \{tasks: \[a.jsonl, b.jsonl\], prompts: 64\}"),
        ({"tasks": ["a.jsonl"], "calibration": "b.jsonl"}, "statistics: expected tasks or calibration, found both"),
        ({"tasks": ["a.jsonl"], "prompts": 0}, r"statistics.prompts: expected a whole number, at least 1, found 0"),
        ({"tasks": "a.jsonl"}, r"statistics.tasks: expected a list of at least one"),
        ({"tasks": [{"a.jsonl": "gamma"}]}, r"statistics.tasks\[0\]: expected a model of this file \(alpha, beta\)"),
        ({"tasks": [3]}, r"statistics.tasks\[0\]: expected a task, or \{TASK: PARENT\}, found 3"),
        ({"calibration": "c.jsonl"}, r"statistics.calibration: expected a file, found 'c.jsonl', and no such file in"),
        ({"moments": ["a.jsonl"]}, r"statistics.moments: expected parents and files"),
    ],
)
def test_what_cannot_be_honoured_names_its_key(file: Any, statistics: object, message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        read_with_remarks(file(statistics))
