"""The Ray pool on a Ray that this process has started: one `ray.init` with two logical GPUs for the whole file."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from evomerge.candidate import Failure, Scored
from evomerge.workers import ClusterLostError, WorkerSetupError
from evomerge.workers.ray_cluster import make_short_directory, remove_short_directory
from evomerge.workers.ray_pool import RayPool
from tests.evomerge.workers.pool_contract import BUDGET, MakePool, WorkerPoolContract, score_all
from tests.evomerge.workers.scoring import (
    DeviceReporter,
    IdleWorker,
    RaisingWorker,
    ThreadReporter,
    make_broken_worker,
    make_candidate,
    make_joint_worker,
    make_scoring_worker,
)

# One after the other: what one module starts, another would find.
pytestmark = pytest.mark.xdist_group("ray")

ray = pytest.importorskip("ray")


@pytest.fixture(scope="module", autouse=True)
def one_ray(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    directory = tmp_path_factory.mktemp("ray")
    ray.init(
        num_cpus=4,
        num_gpus=2,
        include_dashboard=False,
        object_store_memory=80 * 2**20,
        log_to_driver=False,
        logging_level="ERROR",
        _temp_dir=str(make_short_directory(directory, max_bytes=39)),
    )
    yield
    ray.shutdown()
    remove_short_directory(directory)


@contextlib.contextmanager
def pool_maker(run_dir: Path) -> Iterator[Callable[..., RayPool]]:
    """Yield what makes pools; close them, and check that they left alone the Ray that they did not start."""
    with contextlib.ExitStack() as opened:
        yield lambda make_worker=make_scoring_worker, **options: opened.enter_context(
            RayPool(make_worker, **{"count": 1, "run_dir": run_dir, **options})
        )
    assert ray.is_initialized()
    assert list(run_dir.iterdir()) == []


@pytest.fixture
def make_ray_pool(tmp_path: Path) -> Iterator[Callable[..., RayPool]]:
    with pool_maker(tmp_path) as make:
        yield make


class TestRayPool(WorkerPoolContract):
    @pytest.fixture(scope="class")
    @classmethod
    def make_pool(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MakePool]:
        with pool_maker(tmp_path_factory.mktemp("run")) as make:
            yield partial(make, count=2)


def by_number(done) -> dict[int, Scored | Failure]:
    return {one.candidate.number: one for one in done}


def test_an_actor_killed_in_the_middle_of_a_candidate_loses_nothing(make_ray_pool, tmp_path_factory):
    gate = tmp_path_factory.mktemp("gate") / "open"
    pid_file = gate.with_suffix(".pid")

    def kill_the_actor_then_open_the_gate() -> None:
        while not pid_file.exists() or not pid_file.read_text():
            time.sleep(0.01)
        os.kill(int(pid_file.read_text()), signal.SIGKILL)
        gate.touch()

    pool = make_ray_pool(count=2)
    killer = threading.Thread(target=kill_the_actor_then_open_the_gate)
    killer.start()
    waiting = make_candidate(0, "waits for a file", where=gate)
    done = by_number(score_all(pool, [waiting, *map(make_candidate, (1, 2, 3))]))
    killer.join()
    worker = make_scoring_worker()
    for number in range(4):
        assert isinstance(done[number], Scored)
        assert done[number].scores == worker.evaluate(make_candidate(number), BUDGET).scores
    assert pool.free >= 1  # the new one may not be built yet


def test_a_candidate_that_kills_every_actor_fails_and_the_others_survive(make_ray_pool):
    pool = make_ray_pool(count=2)
    killing = make_candidate(0, "kills its process")
    done = by_number(score_all(pool, [killing, *map(make_candidate, (1, 2, 3, 4))]))
    assert isinstance(done[0], Failure)
    assert done[0].candidate is killing
    assert (done[0].stage, done[0].attempts) == ("worker", 2)
    assert "process died" in done[0].reason
    assert "\x1b" not in done[0].traceback
    assert all(isinstance(done[number], Scored) for number in (1, 2, 3, 4))


def test_a_worker_that_leaves_is_replaced_like_one_that_dies(make_ray_pool):
    pool = make_ray_pool()
    done = by_number(score_all(pool, [make_candidate(0, "leaves"), make_candidate(1)]))
    assert isinstance(done[0], Failure)
    assert done[0].stage == "worker"
    assert isinstance(done[1], Scored)


def test_a_candidate_that_hangs_is_ended_at_its_deadline(make_ray_pool):
    pool = make_ray_pool(deadline_s=0.5)
    done = by_number(score_all(pool, [make_candidate(0, "hangs"), make_candidate(1)]))
    assert isinstance(done[0], Failure)
    assert (done[0].stage, done[0].attempts) == ("deadline", 2)
    assert "0.5 s" in done[0].reason
    assert isinstance(done[1], Scored)


def test_a_candidate_that_hung_once_is_scored_by_the_next_actor(make_ray_pool, tmp_path_factory):
    pool = make_ray_pool(deadline_s=1)
    mark = tmp_path_factory.mktemp("mark") / "hung"
    (done,) = score_all(pool, [make_candidate(7, "hangs once", where=mark)])
    assert mark.exists()
    assert isinstance(done, Scored)


def test_one_attempt_means_no_second(make_ray_pool):
    pool = make_ray_pool(attempts=1)
    (done,) = score_all(pool, [make_candidate(0, "kills its process")])
    assert isinstance(done, Failure)
    assert done.attempts == 1


def test_a_failure_on_the_second_actor_counts_both_attempts(make_ray_pool, tmp_path_factory):
    class FailsAfterDying:
        def __init__(self) -> None:
            self.worker = make_scoring_worker()

        def evaluate(self, candidate, budget):
            mark = Path(candidate.recipe.parents["base"].model)
            behaviour = "unmergeable" if mark.exists() else "kills its process once"
            return self.worker.evaluate(make_candidate(candidate.number, behaviour, where=mark), budget)

    mark = tmp_path_factory.mktemp("mark") / "killed"
    (done,) = score_all(make_ray_pool(FailsAfterDying), [make_candidate(0, where=mark)])
    assert isinstance(done, Failure)
    assert (done.stage, done.attempts) == ("merge", 2)


def test_a_worker_that_raises_against_its_contract_is_a_failure_at_once(make_ray_pool):
    pool = make_ray_pool(RaisingWorker)
    (done,) = score_all(pool, [make_candidate(0)])
    assert isinstance(done, Failure)
    assert (done.stage, done.attempts) == ("worker", 1)
    assert done.reason == "the worker raised: KeyError: 'no such tensor'"


def test_a_worker_that_cannot_be_built_is_an_error_at_the_start_which_names_the_cause(make_ray_pool):
    with pytest.raises(WorkerSetupError) as caught:
        make_ray_pool(make_broken_worker, count=2)
    assert str(caught.value) == (
        "workers: a worker could not be built: parents: expected a directory with config.json, found 'nowhere'"
    )


def test_a_machine_with_other_inputs_ends_the_search_when_its_worker_is_built_and_fails_no_candidate(
    make_ray_pool, tmp_path_factory
):
    changed = tmp_path_factory.mktemp("changed") / "model.safetensors"

    def make_worker_of_a_parent():
        if changed.exists():
            raise WorkerSetupError("workers: parent 'alpha': model.safetensors changed")
        return make_scoring_worker()

    pool = make_ray_pool(make_worker_of_a_parent)
    pool.submit(make_candidate(0, "kills its process", where=changed), BUDGET)  # and makes the file before
    with pytest.raises(WorkerSetupError, match=r"^workers: parent 'alpha': model\.safetensors changed$"):
        pool.wait()
    with pytest.raises(WorkerSetupError, match=r"^workers: parent 'alpha': model\.safetensors changed$"):
        make_ray_pool(make_worker_of_a_parent)


def test_a_worker_that_dies_while_it_is_built_is_an_error_at_the_start(make_ray_pool):
    with pytest.raises(WorkerSetupError, match="died while it was built"):
        make_ray_pool(lambda: os.kill(os.getpid(), signal.SIGKILL))


def test_a_worker_whose_process_is_lost_while_it_is_built_is_built_again(make_ray_pool, tmp_path_factory):
    lost = tmp_path_factory.mktemp("lost") / "once"

    def make_worker_after_a_loss():
        if not lost.exists():
            lost.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return make_scoring_worker()

    pool = make_ray_pool(make_worker_after_a_loss)
    assert lost.exists()
    assert isinstance(score_all(pool, [make_candidate(0)])[0], Scored)


def test_a_worker_that_is_not_built_in_time_is_an_error_at_the_start(make_ray_pool):
    with pytest.raises(WorkerSetupError, match=r"not built within 0\.5 s; free in the cluster: \d"):
        make_ray_pool(lambda: time.sleep(3600), start_timeout_s=0.5)


def test_where_no_worker_can_be_built_again_the_search_ends_and_no_candidate_is_told_as_bad(
    make_ray_pool, tmp_path_factory
):
    mark = tmp_path_factory.mktemp("mark") / "built"

    def make_worker_once():
        if mark.exists():
            raise OSError("disk gone")
        mark.touch()
        return make_scoring_worker()

    pool = make_ray_pool(make_worker_once)
    pool.submit(make_candidate(0, "kills its process"), BUDGET)
    with pytest.raises(ClusterLostError) as caught:
        pool.wait()
    assert str(caught.value) == (
        "workers: no worker is left, and none can be built: the worker raised: OSError: disk gone; everything is "
        "saved: mend the cause, then run the same command again"
    )


def test_several_candidates_go_to_a_worker_together_and_the_one_that_ends_it_is_found(make_ray_pool):
    pool = make_ray_pool(make_joint_worker, together=4)
    assert pool.free == 4
    done = by_number(score_all(pool, [make_candidate(0), make_candidate(1, "kills its process"), make_candidate(2)]))
    assert [type(done[number]) for number in range(3)] == [Scored, Failure, Scored]
    assert (done[1].stage, done[1].attempts) == ("worker", 2)
    again = by_number(score_all(pool, [make_candidate(number) for number in range(3, 7)]))
    assert len({one.seconds for one in again.values()}) == 1  # shared evenly: they were scored together
    assert again[6].scores == make_scoring_worker().evaluate(make_candidate(6), BUDGET).scores


def test_what_a_worker_logs_is_in_a_file_of_the_run(make_ray_pool, tmp_path_factory):
    class Talks:
        def evaluate(self, candidate, budget):
            logging.getLogger("fitness.engine").warning("scored in plain batches")
            return make_scoring_worker().evaluate(candidate, budget)

    run_dir = tmp_path_factory.mktemp("run")
    score_all(make_ray_pool(Talks, run_dir=run_dir), [make_candidate(0)])
    assert "WARNING fitness.engine: scored in plain batches" in (run_dir / "logs" / "worker-0.txt").read_text()


def test_more_than_the_cluster_has_is_refused_at_once(make_ray_pool):
    with pytest.raises(WorkerSetupError) as caught:
        make_ray_pool(count=3, cpus=1, gpus=1)
    assert "expected room for 3 of (1 CPU, 1 GPU) each, found room for 2 in (4 CPU, 2 GPU)" in str(caught.value)


def reports(pool: RayPool) -> list[float]:
    done = score_all(pool, [make_candidate(0), make_candidate(1)])
    return sorted(one.scores.values[0] for one in done)


def test_each_of_two_actors_sees_its_own_device(make_ray_pool):
    assert reports(make_ray_pool(DeviceReporter, count=2, gpus=1)) == [0, 1]


def test_two_actors_share_a_device_by_halves(make_ray_pool):
    assert reports(make_ray_pool(DeviceReporter, count=2, gpus=0.5)) in ([0, 0], [0, 1], [1, 1])


def test_a_worker_without_a_gpu_sees_none(make_ray_pool):
    assert reports(make_ray_pool(DeviceReporter, count=2)) == [-1, -1]


@pytest.mark.parametrize("cpus", [1, 2])
def test_an_actor_has_as_many_threads_as_cores(make_ray_pool, cpus: int):
    assert reports(make_ray_pool(ThreadReporter, count=2, cpus=cpus)) == [cpus, cpus]


def test_scores_do_not_pin_the_object_store(make_ray_pool):
    class Large:
        def evaluate(self, candidate, budget):
            import numpy as np

            from fitness.scores import ItemScores

            return Scored(candidate, ItemScores(tuple(map(str, range(200_000))), np.zeros(200_000)), 0.0)

    (done,) = score_all(make_ray_pool(Large), [make_candidate(0)])
    assert done.scores.values.base is None
    assert not done.scores.values.flags.writeable


def test_no_op_candidates_come_back_whatever_their_number(make_ray_pool):
    done = score_all(make_ray_pool(IdleWorker, count=2), [make_candidate(number) for number in range(200)])
    assert {one.candidate.number for one in done} == set(range(200))
