from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from search_spaces.errors import SpaceError
from search_spaces.operators.kernels.counting import counted_places
from search_spaces.operators.kernels.threshold import trim_to
from search_spaces.parents.checkpoint_files import StoredTensor
from search_spaces.parents.parents import Parents
from search_spaces.residency.host_memory import HostMemory


def stored(parents: Parents) -> StoredTensor:
    tensor = parents["alpha"].lazy(parents["alpha"].names[0])
    assert isinstance(tensor, StoredTensor)
    return tensor


def test_workers_share_one_copy_of_a_parent_which_goes_with_the_last_of_them(parents: Parents, tmp_path: Path) -> None:
    tensor = stored(parents)
    (tmp_path / f"evomerge-parent-{os.getuid()}-left").write_bytes(b"by a killed process")
    first, second = (HostMemory(pinned=False, directory=tmp_path) for _ in range(2))
    assert first.view(tensor).equal(tensor.read())
    assert second.view(tensor).equal(tensor.read())
    assert len(list(tmp_path.iterdir())) == 1
    del first
    assert len(list(tmp_path.iterdir())) == 1
    del second
    assert not list(tmp_path.iterdir())


def test_too_little_shared_memory_is_said_and_leaves_nothing(
    parents: Parents, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(total=9, used=9, free=0))
    with pytest.raises(SpaceError, match="write mapped"):
        HostMemory(pinned=False, directory=tmp_path).view(stored(parents))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("ties", [False, True])
def test_counting_finds_the_thresholds_that_the_cpu_s_search_finds(*, ties: bool) -> None:
    magnitudes = torch.randn(20_000, generator=torch.Generator().manual_seed(0)).abs()
    if ties:
        magnitudes = magnitudes.mul(4).floor()
    kept = [1, 2, 777, 10_000, 19_999, 20_000]
    found = counted_places(magnitudes.__getitem__, len(magnitudes), kept, at_once=3000)
    for k, magnitude, last in zip(kept, *found, strict=True):
        mask = (magnitudes > magnitude) | ((magnitudes == magnitude) & (torch.arange(len(magnitudes)) <= last))
        assert int(mask.sum()) == k
        if ties and k < len(magnitudes):
            assert (magnitude, last) == tuple(trim_to(magnitudes, k))
