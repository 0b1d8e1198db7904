"""A search with map, nested_map, a greedy soup or a descent resumes to the archive of one that nobody interrupted."""

from __future__ import annotations

from pathlib import Path

import pytest

from evomerge.workers.in_process import InProcessPool
from tests.evomerge.campaign.test_campaign import Interrupting
from tests.evomerge.killing import contents
from tests.evomerge.toy import ToyWorker
from tests.evomerge.toy_run import run_toy


@pytest.mark.parametrize("name", ["map", "nested_map", "greedy_soup", "gradient"])
@pytest.mark.parametrize("after", [4, 24])
def test_an_interrupted_search_resumes_to_the_same_archive(tmp_path: Path, name: str, after: int) -> None:
    whole, resumed = tmp_path / "whole.sqlite", tmp_path / "resumed.sqlite"
    run_toy(whole, name, 36)
    with pytest.raises(KeyboardInterrupt):
        run_toy(resumed, name, 36, pool=Interrupting(InProcessPool(ToyWorker), after))
    run_toy(resumed, name, 36)
    assert contents(resumed) == contents(whole)
