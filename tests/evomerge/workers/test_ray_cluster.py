"""The Ray that a pool starts, or finds: each in a process of its own, because Ray is one per process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from evomerge.workers.ray_cluster import make_short_directory, remove_short_directory

# One after the other: what one module starts, another would find.
pytestmark = pytest.mark.xdist_group("ray")

ROOT = Path(__file__).parents[3]
PREAMBLE = """
import logging, os, signal, sys, time
from pathlib import Path
from evomerge.candidate import Failure, Scored
from evomerge.workers import WorkerSetupError
from evomerge.workers.ray_cluster import ray
from evomerge.workers.ray_pool import RayPool
from tests.evomerge.workers.pool_contract import BUDGET, score_all
from tests.evomerge.workers.scoring import *
logging.getLogger("evomerge").addHandler(logging.NullHandler())
run_dir = Path(sys.argv[1])
"""


def test_what_starts_ray_stays_in_one_process(request: pytest.FixtureRequest) -> None:
    """pytest-xdist 3.8 loses its groups under pytest 9.2: two clusters at once then end each other's actors."""
    if getattr(request.config.option, "loadgroup", False):
        assert request.node.nodeid.endswith("@ray")


def python(script: str, run_dir: Path, **environment: str) -> subprocess.Popen[str]:
    """Start a script in a process group of its own, as a terminal would, with warnings as errors."""
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", PREAMBLE + script, str(run_dir)],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    )


def run(script: str, run_dir: Path, **environment: str) -> str:
    """Return what a script prints; it must succeed, and say nothing on stderr."""
    with python(script, run_dir, **environment) as process:
        stdout, stderr = process.communicate(timeout=240)
    assert (process.returncode, stderr) == (0, "")
    return stdout


def test_a_pool_starts_a_quiet_ray_of_its_own_and_removes_every_trace(tmp_path: Path):
    run_dir = tmp_path / ("a run directory whose path is longer than a unix socket's may be " * 2)
    script = """
signal.signal(signal.SIGTERM, handler := lambda *_: None)
with RayPool(make_scoring_worker, count=2, run_dir=run_dir) as pool:
    directory = (run_dir / ".ray").readlink()
    assert any(directory.glob("session_*/sockets"))
    assert ray.nodes()[0]["Resources"]["object_store_memory"] < 100e6
    done = score_all(pool, [make_candidate(0, "kills its process"), make_candidate(1)])
    print(directory, *sorted(type(one).__name__ for one in done))
assert not ray.is_initialized()
assert signal.getsignal(signal.SIGTERM) is handler
pool.close()
"""
    # RAY_ADDRESS names a cluster that does not exist: a pool without an address must not care.
    printed = run(script, run_dir, RAY_ADDRESS="127.0.0.1:1").splitlines()
    assert len(printed) == 1, "Ray must not write to our stdout"
    directory, *kinds = printed[0].split()
    assert kinds == ["Failure", "Scored"]
    assert not Path(directory).exists()
    assert list(run_dir.iterdir()) == []


def test_what_cannot_be_started_is_one_clear_error_and_leaves_nothing(tmp_path: Path):
    script = """
try:
    RayPool(make_scoring_worker, count=1, gpus=1, run_dir=run_dir)
except WorkerSetupError as error:
    print(error)
assert not ray.is_initialized()
"""
    assert "expected room for 1 of (0 CPU, 1 GPU) each, found room for 0 in (" in run(script, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def cluster() -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A cluster of one node with two cores that somebody else has started, and its temporary directory."""
    with tempfile.TemporaryDirectory(prefix="ray", dir="/tmp", ignore_cleanup_errors=True) as short:
        options = ["--num-cpus=2", "--object-store-memory=80000000", "--include-dashboard=false", "--port=0"]
        with subprocess.Popen(
            [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", *options],
            env={**os.environ, "RAY_TMPDIR": short, "RAY_USAGE_STATS_ENABLED": "0"},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as head:
            assert head.stdout is not None
            assert any("Ray runtime started" in line for line in head.stdout)
            yield head, short
            head.terminate()


def test_an_existing_cluster_is_used_and_left_running(tmp_path: Path, cluster: tuple[subprocess.Popen[str], str]):
    head, short = cluster
    script = """
for turn in range(2):
    with RayPool(make_scoring_worker, count=2, cpus=1, run_dir=run_dir, address="auto") as pool:
        print(*(type(one).__name__ for one in score_all(pool, [make_candidate(0), make_candidate(1)])))
    assert not ray.is_initialized()
"""
    assert run(script, tmp_path, RAY_TMPDIR=short) == "Scored Scored\n" * 2  # "auto" looks there: no other is found
    assert head.poll() is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "auto"])
def test_a_cluster_that_does_not_run_is_one_clear_error_at_once(tmp_path: Path, address: str):
    script = f"""
try:
    RayPool(make_scoring_worker, count=1, run_dir=run_dir, address={address!r})
except WorkerSetupError as error:
    print(error)
"""
    # Without RAY_ADDRESS "auto" would take any Ray that runs on this machine.
    printed = run(script, tmp_path, RAY_ADDRESS="127.0.0.1:1")
    assert printed.startswith(f"workers.address: expected a running Ray cluster at {address!r}, found none")
    assert "ray start --head" in printed
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_reaches_the_driver_and_spares_the_actors(tmp_path: Path):
    gates = [tmp_path / "own handler", tmp_path / "python's handler"]
    script = f"""
handlers = (lambda *_: print("draining", flush=True), signal.default_int_handler)
with RayPool(make_scoring_worker, count=1, run_dir=run_dir) as pool:
    for handler, gate in zip(handlers, {[str(gate) for gate in gates]!r}):
        signal.signal(signal.SIGINT, handler)
        pool.submit(make_candidate(0, "waits for a file", where=Path(gate)), BUDGET)
        while not Path(gate).with_suffix(".pid").exists():
            time.sleep(0.01)
        try:
            print("ready", flush=True)
            done = pool.wait()
        except KeyboardInterrupt:
            print("draining", flush=True)
            done = pool.wait()
        assert isinstance(done[0], Scored), done
        print("drained", flush=True)
"""
    with python(script, tmp_path / "run") as process:
        assert process.stdout is not None
        for gate in gates:
            assert process.stdout.readline() == "ready\n"
            os.killpg(process.pid, signal.SIGINT)
            assert process.stdout.readline() == "draining\n"
            gate.touch()
            assert process.stdout.readline() == "drained\n"
        stdout, stderr = process.communicate(timeout=240)
    assert (stdout, stderr, process.returncode) == ("", "", 0)


def test_a_killed_driver_takes_its_actors_along(tmp_path: Path):
    gate = tmp_path / "gate"
    script = f"""
pool = RayPool(make_scoring_worker, count=1, run_dir=run_dir)
pool.submit(make_candidate(0, "waits for a file", where=Path({str(gate)!r})), BUDGET)
pool.wait()
"""
    pid_file = gate.with_suffix(".pid")
    with python(script, tmp_path / "run") as process:
        while not pid_file.exists() or not pid_file.read_text():
            assert process.poll() is None
            time.sleep(0.05)
        process.kill()
    actor = Path("/proc") / pid_file.read_text()
    while actor.exists():  # pytest's own time limit is the only clock here
        time.sleep(0.05)
    make_short_directory(tmp_path / "run", max_bytes=4096)  # what a resumed run does first
    remove_short_directory(tmp_path / "run")
    assert list((tmp_path / "run").iterdir()) == []
