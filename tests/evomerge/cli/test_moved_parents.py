"""`--parent NAME=DIR`: a parent's directory moved, its files are the same."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Family
from tests.evomerge.conftest import Outcome

Command = Callable[..., Outcome]


def test_a_campaign_that_names_no_place_any_more_goes_on_where_one_says(
    evomerge: Command, campaign_file: Callable[..., Path], family: Family, tmp_path: Path
) -> None:
    for name, directory in family.experts.items():
        shutil.copytree(directory, tmp_path / "models" / name)
    file, run = campaign_file(parents=["models/alpha", "models/beta"]), tmp_path / "run"
    assert evomerge("run", file, "--run-dir", run, "--evaluations", 5).code == 0
    moved = (tmp_path / "models" / "alpha").rename(tmp_path / "elsewhere")
    refused = evomerge("run", file, "--run-dir", run, "--evaluations", 6)
    assert refused.code == 1
    assert "parent 'alpha': expected the files that this search began with" in refused.err
    assert "--parent alpha=DIR" in refused.err
    done = evomerge("run", file, "--run-dir", run, "--evaluations", 6, "--parent", f"alpha={moved}")
    assert done.code == 0, done.err
    assert f"parent 'alpha' is read from {moved}" in " ".join(done.out.split())
    assert evomerge("run", file, "--run-dir", run, "--evaluations", 7).code == 0
    assert evomerge("export", run, "--out", tmp_path / "out", "--parent", f"beta={moved}").code == 1
    assert evomerge("export", run, "--out", tmp_path / "out").code == 0


@pytest.mark.parametrize("command", ["run", "verify", "export"])
def test_a_place_without_a_name_is_wrong_usage(evomerge: Command, tmp_path: Path, finished: Path, command: str) -> None:
    out = ["--out", tmp_path / "out"] if command == "export" else []
    done = evomerge(command, finished, *out, "--parent", "/models/alpha")
    assert done.code == 2
    assert "expected NAME=DIR, found '/models/alpha'" in " ".join(done.err.replace("│", " ").split())
