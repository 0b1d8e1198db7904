"""A search whose directory is deleted or moved under it ends with the truth."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import evomerge as em
from evomerge.archive import ArchiveError
from evomerge.campaign.events import CandidateTold


@pytest.mark.parametrize("harm", ["delete", "move"])
def test_a_search_whose_directory_is_gone_ends_and_calls_nothing_saved(
    campaign_file: Callable[..., Path], tmp_path: Path, harm: str
) -> None:
    run = tmp_path / "run"

    def act(event: object) -> None:
        if isinstance(event, CandidateTold) and event.progress.done == 3 and run.exists():
            shutil.rmtree(run) if harm == "delete" else run.rename(tmp_path / "moved")

    with pytest.raises(ArchiveError, match="was deleted, or its directory was moved") as caught:
        em.search.from_yaml(campaign_file(landmarks="none"), run_dir=run, callbacks=act)
    assert "saved" not in str(caught.value)
    assert not run.exists()
    if harm == "move":
        assert 3 <= em.load(tmp_path / "moved").n_candidates < 12
        assert em.load(tmp_path / "moved").damage == ()
