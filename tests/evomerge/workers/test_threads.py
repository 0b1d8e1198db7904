from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evomerge.workers.threads import available_cores, threads_here, threads_per_worker


@given(count=st.integers(1, 64), cores=st.integers(1, 256))
def test_an_even_share_never_exceeds_the_cores_when_there_is_one_for_each(count: int, cores: int):
    threads = threads_per_worker(count, None, cores, {})
    assert threads >= 1
    assert count * threads <= max(cores, count)
    assert count * (threads + 1) > cores


@pytest.mark.parametrize(("cpus", "threads"), [(0.5, 1), (1, 1), (2.9, 2), (4, 4)])
def test_reserved_cores_are_the_threads(cpus: float, threads: int):
    assert threads_per_worker(2, cpus, 64, {"OMP_NUM_THREADS": "3"}) == threads
    assert threads_here(7, 2, cpus, 64, {"OMP_NUM_THREADS": "3"}) == threads


@pytest.mark.parametrize(("said", "threads"), [("3", 3), ("64", 8), ("3,2", 3), (" 3 ", 3), ("", 8), ("many", 8)])
def test_workers_have_no_more_threads_than_the_user_said(said: str, threads: int):
    assert threads_per_worker(4, None, 32, {"OMP_NUM_THREADS": said}) == threads


@given(present=st.integers(1, 64), count=st.integers(1, 8), cores=st.integers(1, 64))
def test_the_number_that_is_set_here_is_lowered_to_the_share_but_never_raised(present: int, count: int, cores: int):
    threads = threads_here(present, count, None, cores, {})
    assert 1 <= threads <= present
    assert threads == present or threads == max(1, cores // count)
    assert threads_here(present, count, None, cores, {"OMP_NUM_THREADS": str(present)}) == present


@pytest.mark.parametrize(("quota", "limit"), [("100000 100000", 1), ("50000 100000", 1), ("99900000 100000", 999)])
def test_a_container_quota_limits_the_cores(tmp_path: Path, quota: str, limit: int):
    (tmp_path / "cpu.max").write_text(quota + "\n")
    assert available_cores(tmp_path) == min(limit, len(os.sched_getaffinity(0)))


def test_the_older_form_of_a_quota_is_read_too(tmp_path: Path):
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu/cpu.cfs_quota_us").write_text("100000\n")
    (tmp_path / "cpu/cpu.cfs_period_us").write_text("100000\n")
    assert available_cores(tmp_path) == 1


@pytest.mark.parametrize(
    ("file", "text"), [("cpu.max", "max 100000"), ("cpu.max", ""), ("cpu.max", "?"), ("cpu/cpu.cfs_quota_us", "-1")]
)
def test_no_quota_leaves_the_process_its_cores(tmp_path: Path, file: str, text: str):
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu/cpu.cfs_period_us").write_text("100000")
    (tmp_path / file).write_text(text)
    if file == "cpu.max":
        (tmp_path / "cpu/cpu.cfs_period_us").unlink()
    assert available_cores(tmp_path) == len(os.sched_getaffinity(0))


def test_a_process_may_only_run_where_it_is_bound_to():
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert available_cores(Path("/nowhere"), Path("/nowhere")) == 1
    finally:
        os.sched_setaffinity(0, before)


@given(
    limits=st.lists(st.one_of(st.none(), st.integers(1, 400)), min_size=1, max_size=4), version=st.sampled_from("12")
)
def test_every_group_from_the_process_up_to_the_root_may_limit_it(limits: list[int | None], version: str):
    """A job's group inside of a user's inside of a node's; `limits` in hundredths of a CPU."""
    with tempfile.TemporaryDirectory() as root:
        group = Path(root) if version == "2" else Path(root) / "cpu"
        path = ""
        for depth, limit in enumerate(limits):
            group, path = group / f"level{depth}", f"{path}/level{depth}"
            group.mkdir(parents=True)
            if version == "2":
                (group / "cpu.max").write_text("max 100000" if limit is None else f"{limit * 1000} 100000")
            else:
                (group / "cpu.cfs_quota_us").write_text("-1" if limit is None else str(limit * 1000))
                (group / "cpu.cfs_period_us").write_text("100000")
        membership = Path(root) / "membership"
        line = f"0::{path}" if version == "2" else f"4:cpu,cpuacct:{path}"
        membership.write_text(f"9:memory:/elsewhere\n{line}\n7:cpuset:/../outside\n")
        cores = [len(os.sched_getaffinity(0)), *(limit // 100 for limit in limits if limit is not None)]
        assert available_cores(Path(root), membership) == max(1, min(cores))


@given(text=st.text())
def test_whatever_the_system_says_of_groups_is_no_error(text: str):
    with tempfile.TemporaryDirectory() as root:
        membership = Path(root) / "membership"
        membership.write_text(text, encoding="utf-8", errors="surrogatepass")
        assert available_cores(Path(root), membership) == len(os.sched_getaffinity(0))
