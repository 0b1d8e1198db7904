"""Options that every command line has: the version, help, keys set beside the file, a run directory in its place."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

import evomerge as em
from tests.evomerge.conftest import Outcome

Command = Callable[..., Outcome]


def test_the_version_is_printed(evomerge: Command) -> None:
    assert evomerge("--version").out.strip() == f"evomerge {em.__version__}"


@pytest.mark.parametrize("command", [[], ["run"], ["plan"], ["reduce"], ["eval"], ["merge"], ["doctor"], ["pareto"]])
def test_h_is_help_everywhere(evomerge: Command, command: list[str]) -> None:
    done = evomerge(*command, "-h")
    assert done.code == 0
    assert "Usage: " in done.out


def test_completion_can_be_installed(evomerge: Command) -> None:
    assert "--show-completion" in evomerge("--help").out


def test_a_run_goes_on_from_its_directory_alone(evomerge: Command, campaign_file: Callable[..., Path]) -> None:
    path = campaign_file()
    run_dir = path.parent / "run"
    assert evomerge("run", path, "--run-dir", run_dir, "--evaluations", 6).code == 0
    path.unlink()
    done = evomerge("run", run_dir, "--set", "budget.evaluations=8")
    assert done.code == 0, done.err
    assert "resuming" in done.out
    assert json.loads(evomerge("pareto", run_dir, "--json").out)["evaluations"] == 8


def test_a_directory_that_is_no_run_cannot_be_gone_on_with(evomerge: Command, tmp_path: Path) -> None:
    done = evomerge("run", tmp_path)
    assert done.code == 1
    assert "is this the directory of a run?" in done.err


def test_keys_are_set_beside_the_file(evomerge: Command, campaign_file: Callable[..., Path]) -> None:
    path = campaign_file()
    run_dir = path.parent / "run"
    sets = [
        "--set",
        "budget.evaluations=6",
        "--set",
        "space.genes.weight=[0.5, 1.0]",
        "--set",
        "objectives.1.weight=2.0",
    ]
    done = evomerge("run", path, "--run-dir", run_dir, *sets, "--optimizer", "random")
    assert done.code == 0, done.err
    config = yaml.safe_load((run_dir / "campaign.yaml").read_text())
    assert config["budget"]["evaluations"] == 6
    assert config["space"]["genes"]["weight"] == [0.5, 1.0]
    assert config["objectives"][1]["weight"] == 2
    assert config["optimiser"]["kind"] == "random"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("budget.evaluations", "budget.evaluations: expected KEY=VALUE"),
        ("budget.evaluations=0", "found 0; it was set by budget.evaluations=0"),
        ("budget.evaluatons=3", "did you mean 'evaluations'?; it was set by budget.evaluatons=3"),
        ("objectives.7.weight=1", "objectives.7.weight=1: expected sections with the key 7, found a list of 2"),
        ("seed=[1", "seed=[1: expected a value in YAML"),
    ],
)
def test_a_wrong_key_names_the_text(
    evomerge: Command, campaign_file: Callable[..., Path], text: str, message: str
) -> None:
    done = evomerge("plan", campaign_file(), "--set", text)
    assert done.code == 2
    assert message in " ".join(done.err.split())


@pytest.mark.parametrize("text", ["five", "-1", "mmlu=five", "mmlu=5,3", "=5", ""])
def test_numbers_of_examples_are_numbers(evomerge: Command, text: str) -> None:
    done = evomerge("eval", "nowhere", "--tasks", "words.jsonl", f"--num-fewshot={text}")
    assert done.code == 2
    assert "expected a number, or TASK=N,TASK=N" in done.err
