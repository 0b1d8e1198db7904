"""Names with control characters are refused when a campaign is read, all at once, and shown as what they are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import evomerge as em
from evomerge.config import load_campaign
from evomerge.config.errors import ConfigError
from tests.conftest import Family
from tests.evomerge.conftest import campaign_data, write_tasks

NAMES = ["a\x1b[2J", "a\x07", "a\u202eb", "a\u2066b", "a\nb", "a\rb", "a\x9bb", "a\x00"]


def written(directory: Path, data: dict[str, object]) -> Path:
    write_tasks(directory)
    path = directory / "campaign.yaml"
    path.write_text(json.dumps(data, ensure_ascii="\U0001f468" not in str(data)))  # JSON is YAML, but for pairs
    return path


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_a_name_with_such_a_character_is_refused_with_its_key(family: Family, tmp_path: Path, name: str) -> None:
    objectives = [{"name": name, "tasks": ["sums.jsonl"]}, {"name": "words", "tasks": ["words.jsonl"]}]
    path = written(tmp_path, campaign_data(family, name=name, objectives=objectives))
    with pytest.raises(ConfigError) as refused:
        load_campaign(path)
    keys = {problem.key for problem in refused.value.problems}
    assert {"name", "objectives[0].name"} <= keys
    assert name not in str(refused.value)


def test_from_python_too(family: Family, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tasks(tmp_path)
    monkeypatch.chdir(tmp_path)
    parents = {"a\x1b[31m": family.experts["alpha"], "b": family.experts["beta"]}
    with pytest.raises(ConfigError, match=r"parents\[0\].name: expected text that stands on one line .*a\\x1b"):
        em.plan(parents=parents, base=family.base, objectives={"words": "words.jsonl"})


def test_what_models_are_told_may_have_lines(family: Family, tmp_path: Path) -> None:
    path = written(tmp_path, campaign_data(family, prompts={"system_instruction": "one\ntwo\u202e"}))
    assert load_campaign(path).prompts.system_instruction == "one\ntwo\u202e"


def test_names_in_other_scripts_and_with_brackets_are_names(family: Family, tmp_path: Path) -> None:
    name = "מילים [v1] слова 言葉 👨\u200d👩 [/x]"
    objectives = [{"name": name, "tasks": ["sums.jsonl"]}]
    assert load_campaign(written(tmp_path, campaign_data(family, objectives=objectives))).objectives[0].name == name
