from __future__ import annotations

import pytest

from evomerge.workers import WorkerSetupError
from evomerge.workers.nodes import Need, check_room

TWO_GPUS = {"CPU": 8.0, "GPU": 2.0, "memory": 1e9}
NO_GPU = {"CPU": 2.0}


@pytest.mark.parametrize(
    ("nodes", "count", "cpus", "gpus"),
    [
        ([TWO_GPUS], 2, 1, 1),
        ([TWO_GPUS], 4, 0, 0.5),
        ([TWO_GPUS], 20, 0.1, 0.1),
        ([TWO_GPUS, TWO_GPUS], 4, 4, 1),
        ([NO_GPU], 100, 0, 0),
    ],
)
def test_what_fits_is_accepted(nodes, count, cpus, gpus):
    check_room(nodes, count, Need(cpus, gpus))


@pytest.mark.parametrize(
    ("nodes", "count", "cpus", "gpus", "found"),
    [
        ([NO_GPU], 1, 1, 1, "room for 0 in (2 CPU, 0 GPU)"),
        ([NO_GPU], 3, 1, 0, "room for 2 in (2 CPU, 0 GPU)"),
        ([TWO_GPUS, TWO_GPUS], 1, 0, 3, "room for 0 in (8 CPU, 2 GPU) + (8 CPU, 2 GPU)"),  # no worker spans nodes
        ([], 1, 0, 0, "room for 0 in no node"),
    ],
)
def test_what_never_fits_is_refused_with_what_is_there(nodes, count, cpus, gpus, found):
    with pytest.raises(WorkerSetupError) as caught:
        check_room(nodes, count, Need(cpus, gpus))
    assert f"expected room for {count} of ({cpus:g} CPU, {gpus:g} GPU) each" in str(caught.value)
    assert found in str(caught.value)
    assert "lower workers.count" in str(caught.value)
