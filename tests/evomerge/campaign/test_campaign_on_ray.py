"""The campaign's promises with a Ray pool: nothing depends on how many workers there are, or who dies."""

import functools
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from evomerge.archive import Archive
from evomerge.workers.ray_pool import RayPool
from tests.evomerge.killing import contents, killed_and_resumed_equals_whole
from tests.evomerge.toy import ToyWorker
from tests.evomerge.toy_run import OPTIMISERS, run_toy
from tests.evomerge.toy_schedules import CountingWorker, run_schedule

# One after the other: what one module starts, another would find.
pytestmark = pytest.mark.xdist_group("ray")

# What a steady-state optimiser proposes depends on which worker is done first.
GENERATIONAL = [name for name in OPTIMISERS if name not in ("m2n2", "niches", "bayes")]

REPOSITORY = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """The address of a Ray cluster of one node that outlives the drivers."""
    options = ["--num-cpus=2", "--object-store-memory=80000000", "--include-dashboard=false", "--port=0"]
    with tempfile.TemporaryDirectory(prefix="ray", dir="/tmp", ignore_cleanup_errors=True) as short:
        environment = {**os.environ, "RAY_TMPDIR": short, "RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled"}
        environment["PYTHONPATH"] = str(REPOSITORY)
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", *options]
        with subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as head:
            assert head.stdout is not None
            lines: list[str] = []
            for line in head.stdout:
                lines.append(line)
                if "ray start --address=" in line:
                    break
            yield lines[-1].split("'")[1]
            head.terminate()


@pytest.mark.parametrize("name", GENERATIONAL)
def test_one_and_two_workers_give_the_same_archive(tmp_path: Path, cluster: str, name: str) -> None:
    make_worker = functools.partial(ToyWorker, fail_below=0.05, pause=0.002)
    for count in (1, 2):
        pool = RayPool(make_worker, count=count, run_dir=tmp_path, address=cluster)
        try:
            run_toy(tmp_path / f"{count}.sqlite", name, 60, pool=pool)
        finally:
            pool.close()
    assert contents(tmp_path / "1.sqlite") == contents(tmp_path / "2.sqlite")


def test_sigkill_at_a_random_moment_on_ray_loses_nothing(tmp_path: Path, cluster: str) -> None:
    killed_and_resumed_equals_whole(tmp_path, "nsga2", 0, cluster=cluster)


def test_two_workers_halve_a_generation_as_one_does(tmp_path: Path, cluster: str) -> None:
    found = []
    for count in (1, 2):
        pool = RayPool(CountingWorker, count=count, run_dir=tmp_path, address=cluster)
        try:
            run_schedule(tmp_path / f"{count}.sqlite", "cma_es", 35, pool=pool).close()
        finally:
            pool.close()
        found.append(contents(tmp_path / f"{count}.sqlite"))
    run_schedule(tmp_path / "here.sqlite", "cma_es", 35).close()
    assert found[0] == found[1] == contents(tmp_path / "here.sqlite")
    stopped = [r for r in Archive.read(tmp_path / "here.sqlite").records() if r.estimate and r.estimate.stopped]
    assert stopped


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", GENERATIONAL)
def test_sigkill_at_random_moments_on_ray_loses_nothing(tmp_path: Path, cluster: str, name: str, seed: int) -> None:
    killed_and_resumed_equals_whole(tmp_path, name, seed, cluster=cluster)
