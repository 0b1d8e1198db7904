from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evomerge.workers.threads import available_cores, threads_per_worker


@given(count=st.integers(1, 64), cores=st.integers(1, 256))
def test_an_even_share_never_exceeds_the_cores_when_there_is_one_for_each(count: int, cores: int):
    threads = threads_per_worker(count, None, cores)
    assert threads >= 1
    assert count * threads <= max(cores, count)
    assert count * (threads + 1) > cores


@pytest.mark.parametrize(("cpus", "threads"), [(0.5, 1), (1, 1), (2.9, 2), (4, 4)])
def test_reserved_cores_are_the_threads(cpus: float, threads: int):
    assert threads_per_worker(2, cpus, 64) == threads


@pytest.mark.parametrize(("quota", "limit"), [("100000 100000", 1), ("50000 100000", 1), ("99900000 100000", 999)])
def test_a_container_quota_limits_the_cores(tmp_path: Path, quota: str, limit: int):
    (tmp_path / "cpu.max").write_text(quota + "\n")
    assert available_cores(tmp_path) == min(limit, len(os.sched_getaffinity(0)))


def test_the_older_form_of_a_quota_is_read_too(tmp_path: Path):
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu/cpu.cfs_quota_us").write_text("100000\n")
    (tmp_path / "cpu/cpu.cfs_period_us").write_text("100000\n")
    assert available_cores(tmp_path) == 1


@pytest.mark.parametrize(("file", "text"), [("cpu.max", "max 100000"), ("cpu/cpu.cfs_quota_us", "-1")])
def test_no_quota_leaves_the_process_its_cores(tmp_path: Path, file: str, text: str):
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu/cpu.cfs_period_us").write_text("100000")
    (tmp_path / file).write_text(text)
    if file == "cpu.max":
        (tmp_path / "cpu/cpu.cfs_period_us").unlink()
    assert available_cores(tmp_path) == len(os.sched_getaffinity(0))
