"""Decisions about a cluster's nodes, as functions of what `ray.nodes()` lists."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evomerge.workers.nodes import Need, check_room, cores_of, neighbours
from evomerge.workers.protocol import WorkerSetupError
from evomerge.workers.threads import threads_per_worker


def node(name: str, *, alive: bool = True, **resources: float) -> dict[str, object]:
    return {"NodeID": name, "Alive": alive, "Resources": resources}


# 8 nodes of 8 GPUs and 128 cores, behind a head of 16 cores: design note of issue 18, fault B2.
HEAD = node("head", CPU=16)
EIGHT = [HEAD, *(node(f"n{i}", CPU=128, GPU=8) for i in range(8))]


def test_sixty_four_workers_have_sixteen_cores_each_and_not_their_share_of_the_heads() -> None:
    near = neighbours(Need(gpus=1), "n3", EIGHT, 64)
    assert near == 8
    assert threads_per_worker(near, None, cores_of("n3", EIGHT) or 0, {}) == 16


def test_where_nothing_is_reserved_workers_are_spread_over_the_nodes() -> None:
    assert neighbours(Need(), "n3", EIGHT, 20) == 3
    assert neighbours(Need(), "head", [HEAD], 4) == 4


def test_a_node_that_nobody_knows_yet_has_one_worker() -> None:
    assert neighbours(Need(gpus=1), "new", EIGHT, 64) == 1
    assert cores_of("new", EIGHT) is None
    assert cores_of("n0", [node("n0", GPU=1)]) is None


@given(st.integers(1, 64), st.sampled_from([0.25, 0.5, 1, 2]), st.integers(0, 8), st.integers(0, 64))
def test_neighbours_are_as_many_as_fit_by_counting(count: int, gpus: float, there: int, cores: int) -> None:
    fits, left = 0, float(there)
    while left >= gpus and fits < count:
        left, fits = left - gpus, fits + 1
    assert neighbours(Need(gpus=gpus), "n", [node("n", CPU=cores, GPU=there)], count) == max(1, fits)


def test_a_worker_across_nodes_has_a_bundle_for_each_gpu_and_takes_what_single_nodes_have_not_room_for() -> None:
    need = Need(cpus=8, gpus=3, accelerator="H100", across_nodes=True)
    gpu = {"GPU": 1.0, "accelerator_type:H100": 0.001}
    assert need.bundles == [{"CPU": 8, **gpu}, gpu, gpu]
    nodes = [{"CPU": 8.0, "GPU": 2.0, "accelerator_type:H100": 1.0}] * 3
    check_room(nodes, 2, need)
    for count, other in ((3, need), (1, Need(cpus=8, gpus=3))):
        with pytest.raises(WorkerSetupError, match=f"room for {count} of"):
            check_room(nodes, count, other)


def test_a_type_of_accelerator_is_needed_as_ray_counts_it() -> None:
    need = Need(gpus=1, accelerator="H100")
    assert need.fit({"CPU": 8, "GPU": 8, "accelerator_type:H100": 1}, 64) == 8
    assert need.fit({"CPU": 8, "GPU": 8, "accelerator_type:A100": 1}, 64) == 0
