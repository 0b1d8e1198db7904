from __future__ import annotations

import pytest

from search_spaces.residency.planner import Room, planned_residency

GB = 10**9
LOTS = 1000 * GB


def room(
    card: int | None, model: float, n_parents: int, *, host: int = LOTS, full: int | None = None, adapters: int = 0
) -> Room:
    """Models of some GB in bfloat16, their base among the full ones; scoring has a quarter of the card."""
    size, vram = int(model * GB), None if card is None else card * GB
    return Room(vram, host, size, (n_parents + 1 if full is None else full) * size, adapters, (vram or 0) // 4)


@pytest.mark.parametrize(
    ("card", "model", "n_parents", "host", "mode"),
    [
        (141, 16.1, 3, LOTS, "resident"),  # 8B on an H200
        (80, 16.1, 3, LOTS, "streamed"),  # on an H100
        (80, 16.1, 8, LOTS, "streamed"),
        (80, 16.1, 3, 70 * GB, "mapped"),  # little memory of the host
        (24, 2.5, 3, LOTS, "resident"),  # 1B
        (80, 6.4, 3, LOTS, "resident"),  # 3B
        (None, 16.1, 3, LOTS, "mapped"),  # no GPU
    ],
)
def test_parents_lie_as_near_to_the_merge_as_there_is_room(
    card: int | None, model: float, n_parents: int, host: int, mode: str
) -> None:
    found = planned_residency(room(card, model, n_parents, host=host))
    assert found.mode == mode, found.reason


def test_lora_parents_are_resident_where_their_base_and_the_candidate_fit() -> None:
    eight_adapters = room(80, 16.1, 8, full=1, adapters=8 * 170 * 10**6)
    assert planned_residency(eight_adapters).mode == "resident"


def test_the_way_that_is_asked_for_is_taken_and_its_needs_are_said() -> None:
    wanted = room(80, 16.0, 3)
    assert {planned_residency(wanted, mode).mode for mode in ("resident", "streamed", "mapped")} == {
        "resident",
        "streamed",
        "mapped",
    }
    streamed = planned_residency(wanted, "streamed")
    assert streamed.host_bytes == 64 * GB
    assert streamed.copy_seconds == pytest.approx(1.28)  # (K+1)M over 50 GB a second
