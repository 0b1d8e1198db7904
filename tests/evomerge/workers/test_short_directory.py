from __future__ import annotations

import os
from pathlib import Path

import pytest

from evomerge.workers.ray_cluster import make_short_directory, remove_short_directory


def test_a_short_run_directory_holds_it(tmp_path: Path):
    directory = make_short_directory(tmp_path, max_bytes=4096)
    assert directory == tmp_path / ".ray"
    assert directory.is_dir()


@pytest.mark.parametrize("name", ["r" * 100, "ä" * 50])
def test_a_long_run_directory_links_to_it(tmp_path: Path, name: str):
    run_dir = tmp_path / name
    directory = make_short_directory(run_dir, max_bytes=39)
    assert len(os.fsencode(directory)) <= 39
    assert (run_dir / ".ray").readlink() == directory
    remove_short_directory(run_dir)
    assert not directory.exists()
    assert list(run_dir.iterdir()) == []


@pytest.mark.parametrize("max_bytes", [39, 4096])
def test_what_a_killed_process_left_is_removed_first(tmp_path: Path, max_bytes: int):
    first = make_short_directory(tmp_path, max_bytes)
    (first / "session").mkdir()
    second = make_short_directory(tmp_path, max_bytes)
    assert list(second.iterdir()) == []
    assert first == second or not first.exists()
    remove_short_directory(tmp_path)


def test_removing_what_is_gone_is_no_error(tmp_path: Path):
    remove_short_directory(tmp_path)
    directory = make_short_directory(tmp_path, max_bytes=39)
    directory.rmdir()
    remove_short_directory(tmp_path)
    assert not (tmp_path / ".ray").is_symlink()


def test_a_link_that_is_not_ours_loses_only_the_link(tmp_path: Path):
    precious = tmp_path / "precious"
    precious.mkdir()
    (tmp_path / ".ray").symlink_to(precious)
    remove_short_directory(tmp_path)
    assert precious.is_dir()
    assert not (tmp_path / ".ray").exists()
