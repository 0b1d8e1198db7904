from __future__ import annotations

import json
import sys

import pytest

from experiments.benchmarks import gradient
from tests.conftest import Family
from tests.fitness.conftest import completions, write_jsonl


def test_a_step_and_its_forward_pass_are_measured(family: Family, tmp_path, capsys, monkeypatch) -> None:
    paths = [str(write_jsonl(tmp_path / f"{name}.jsonl", completions(6))) for name in family.experts]
    parents = [str(path) for path in family.experts.values()]
    argv = ["gradient", "--base", str(family.base), "--parents", *parents, "--tasks", *paths, "--items", "3"]
    monkeypatch.setattr(sys, "argv", [*argv, "--repeats", "1"])
    gradient.main()
    costs = json.loads(capsys.readouterr().out)
    assert costs["items"] == 6
    assert costs["coefficients"] == 2 * 20
    assert costs["step_seconds"] == pytest.approx(costs["write_seconds"] + costs["backward_seconds"])
    assert costs["times_forward"] == pytest.approx(costs["step_seconds"] / costs["forward_seconds"])
