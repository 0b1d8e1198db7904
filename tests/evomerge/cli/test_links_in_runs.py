"""A run that was passed on may hold links and pipes under the names that evomerge writes: none is written through."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.evomerge.conftest import Outcome

Command = Callable[..., Outcome]
MINE = "all that I have\n"


@pytest.mark.parametrize("name", ["lock", "log.txt", "report.html", "campaign.yaml", "figures/pareto.png", "stages"])
def test_a_link_under_a_name_that_is_written_is_refused_and_its_target_stays(
    evomerge: Command, finished: Path, tmp_path: Path, name: str
) -> None:
    run, mine = tmp_path / "run", tmp_path / "mine.txt"
    assert evomerge("archive", "copy", finished, run).code == 0
    mine.write_text(MINE)
    (run / name).parent.mkdir(exist_ok=True)
    (run / name).symlink_to(mine)
    for arguments in (("verify", run), ("report", run), ("run", run, "--evaluations", 13)):
        found = evomerge(*arguments)
        assert (found.code, f"{run / name}: expected a file that evomerge may write" in found.err) == (1, True)
    assert mine.read_text() == MINE
    assert evomerge("pareto", run).code == 0


def test_a_dangling_link_makes_no_file_and_a_pipe_is_not_waited_for(
    evomerge: Command, finished: Path, tmp_path: Path
) -> None:
    assert evomerge("archive", "copy", finished, tmp_path / "run").code == 0
    (tmp_path / "run" / "lock").symlink_to(tmp_path / "made")
    assert "a link to" in evomerge("verify", tmp_path / "run").err
    assert not (tmp_path / "made").exists()
    (tmp_path / "run" / "lock").unlink()
    os.mkfifo(tmp_path / "run" / "report.html")
    assert "found a pipe or a device; remove it" in evomerge("report", tmp_path / "run").err


def test_a_run_directory_that_is_itself_a_link_is_used(evomerge: Command, finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path / "run")
    (tmp_path / "link").symlink_to(tmp_path / "run")
    assert evomerge("report", tmp_path / "link").code == 0
