"""Costs are drawn as they are, with less of them where more of another quantity is."""

from __future__ import annotations

from evomerge.results.report.marks import bars, in_nature, layout, level, points, words


def test_a_cost_is_drawn_upside_down() -> None:
    frame = layout(300, "words", "length")
    frame["yaxis"]["range"] = [-50.0, -20.0]
    frame["shapes"] = [level(-40.0, "var(--ink)"), level(0.5, "var(--ink)", along="y")]
    frame["annotations"] = [words(1, -40.0, "best parent", xref="x domain")]
    error = bars([1.0, 2.0], "var(--band)", down=[3.0, 4.0])
    drawn = in_nature({"data": [points([0.5, 0.75], [-41.25, -30.0], {}, error_y=error)], "layout": frame}, y="tokens")
    (trace,) = drawn["data"]
    assert (trace["x"], trace["y"]) == ([0.5, 0.75], [41.25, 30.0])
    assert (trace["error_y"]["array"], trace["error_y"]["arrayminus"]) == ([3.0, 4.0], [1.0, 2.0])
    assert drawn["layout"]["yaxis"]["range"] == [50.0, 20.0]
    assert [(shape["y0"], shape["x0"]) for shape in drawn["layout"]["shapes"]] == [(40.0, 0), (0, 0.5)]
    assert drawn["layout"]["annotations"][0]["y"] == 40.0
    assert frame["yaxis"]["range"] == [-50.0, -20.0], "what was given is left as it is"


def test_without_a_range_an_axis_of_a_cost_is_reversed_and_others_are_not() -> None:
    drawn = in_nature({"data": [], "layout": layout(300, "words", "length")}, x=None, y="depth")
    assert drawn["layout"]["yaxis"]["autorange"] == "reversed"
    assert "autorange" not in drawn["layout"]["xaxis"]
