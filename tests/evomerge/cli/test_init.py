"""`evomerge init`: the campaign that fits models, tasks and machine."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from evomerge.config import load_campaign
from evomerge.optimisers import Bayes
from tests.conftest import Family
from tests.evomerge.conftest import Outcome, write_tasks

Command = Callable[..., Outcome]


@pytest.fixture
def folder(family: Family, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of three models and two tasks, where commands are given."""
    for path in family.parents.values():
        shutil.copytree(path, tmp_path / path.name)
    write_tasks(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def begun(evomerge: Command, *options: object) -> str:
    done = evomerge("init", "alpha", "beta", "--base", "base", "--tasks", "sums.jsonl", "words.jsonl", *options)
    assert done.code == 0, done.err
    return done.out


def test_it_says_what_it_sees_in_a_line_each_and_writes_few_lines(evomerge: Command, folder: Path) -> None:
    out = begun(evomerge)
    assert out.splitlines()[:3] == [
        f"{name}: llama, 2 layers, 80.7 KiB, 49 tokens" for name in ("base", "alpha", "beta")
    ]
    assert "evomerge plan campaign.yaml" in out
    text = (folder / "campaign.yaml").read_text()
    assert len(text.splitlines()) <= 25
    assert str(folder) not in text
    schema = text.splitlines()[0].partition("$schema=")[2]
    assert json.loads((folder / schema).read_text())["title"] == "CampaignConfig"


@pytest.mark.parametrize(
    ("goal", "objectives"),
    [
        ("balanced", [("all", 2, 1.0, None)]),
        ("one", [("sums", 1, 1.0, None), ("words", 1, 0.0, "base - 0.02")]),
        ("front", [("sums", 1, 1.0, None), ("words", 1, 1.0, None)]),
    ],
)
def test_a_goal_says_what_the_tasks_are_to_each_other(
    goal: str, objectives: list[tuple[object, ...]], evomerge: Command, folder: Path
) -> None:
    begun(evomerge, "--goal", goal)
    config = load_campaign(folder / "campaign.yaml")
    assert [(o.name, len(o.tasks), o.weight, o.at_least) for o in config.objectives] == objectives
    assert isinstance(config.optimiser, Bayes)
    assert config.budget.evaluations == 60


def test_plan_takes_what_it_writes_and_finds_as_many_genes(evomerge: Command, folder: Path) -> None:
    begun(evomerge)
    done = evomerge("plan", "campaign.yaml")
    assert done.code == 0, done.err
    assert "3 genes" in done.out
    assert "# 3 genes" in (folder / "campaign.yaml").read_text()


def test_paths_are_relative_to_the_file_and_lm_eval_names_stay(evomerge: Command, folder: Path) -> None:
    (folder / "made").mkdir()
    begun(evomerge, "arc_easy@validation", "--out", "made/first.yaml")
    written = yaml.safe_load((folder / "made/first.yaml").read_text())
    assert (written["base"], written["name"]) == ("../base", "first")
    assert written["objectives"][0]["tasks"] == ["../sums.jsonl", "../words.jsonl", "arc_easy@validation"]


def test_a_chat_template_is_used_and_different_tokens_are_joined(evomerge: Command, folder: Path) -> None:
    (folder / "base" / "chat_template.jinja").write_text("{{ messages }}")
    tokenizer = json.loads((folder / "beta" / "tokenizer.json").read_text())
    tokenizer["added_tokens"] = [{"content": "<new>", "id": 49, "special": True}]
    (folder / "beta" / "tokenizer.json").write_text(json.dumps(tokenizer))
    assert "vocabularies differ" in begun(evomerge)
    config = load_campaign(folder / "campaign.yaml")
    assert (config.prompts.apply_chat_template, config.tokenizer, config.merges) == (True, "union", ())


def test_adapters_say_their_base(evomerge: Command, folder: Path) -> None:
    for name in ("one", "two"):
        (folder / name).mkdir()
        (folder / name / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "../base"}))
    done = evomerge("init", "one", "two", "--tasks", "sums.jsonl")
    assert done.code == 0, done.err
    assert "one: an adapter on ../base" in done.out
    assert yaml.safe_load((folder / "campaign.yaml").read_text())["base"] == "./base"


def test_what_is_missing_is_told(evomerge: Command, folder: Path) -> None:
    done = evomerge("init", "alpha", "./nosuch", "hub/model", "--tasks", "sums.jsonl")
    assert done.code == 0, done.err
    assert "./nosuch: no such directory" in done.out
    assert "hub/model: of the hub" in done.out
    assert "with --base BASE task vectors are" in done.out
    for arguments, told in (
        (["alpha", "--tasks", "sums.jsonl"], "two models or more"),
        (["alpha", "beta", "--tasks", "nosuch.jsonl"], "tasks: expected a task file, found nothing at nosuch.jsonl"),
        (["alpha", "beta", "--tasks", "sums.jsonl", "--goal", "frnt"], "did you mean 'front'?"),
    ):
        done = evomerge("init", *arguments, "--out", "other.yaml")
        assert (done.code, told in done.err) == (2, True), done.err
        assert not (folder / "other.yaml").exists()
