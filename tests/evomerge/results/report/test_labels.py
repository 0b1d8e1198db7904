import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from evomerge.results.report.labels import LONGEST, label_places, shortened, shortened_row


def test_names_of_close_points_go_to_different_sides() -> None:
    points = [(0.5, 0.5), (0.52, 0.5), (0.0, 0.0), (1.0, 1.0)]
    places = label_places(points, ["uniform mean", "default TIES", "a", "b"])
    assert places[0] != places[1]


def test_a_name_at_the_edge_stays_inside() -> None:
    left, right = label_places([(0.0, 0.5), (1.0, 0.5)], ["a long name here", "a long name here"])
    assert "right" in left
    assert "left" in right


@given(st.lists(st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)), max_size=6))
def test_every_name_gets_a_place(points: list[tuple[float, float]]) -> None:
    assert len(label_places(np.array(points), ["name"] * len(points))) == len(points)


def test_long_names_keep_their_end() -> None:
    assert shortened("/models/experts/arithmetic-v2") == "…rts/arithmetic-v2"
    assert len(shortened("x" * 99)) == LONGEST
    assert shortened_row("/models/experts/arithmetic-v2 · mlp") == "…rts/arithmetic-v2 · mlp"
