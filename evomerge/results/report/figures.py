"""The front, a predicted one beside it, and the held-out differences (see `marks` for what a figure is)."""

from __future__ import annotations

import html
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evomerge.results.predicted_front import Prediction
from evomerge.results.report.contents import Contents
from evomerge.results.report.labels import label_places, shortened
from evomerge.results.report.marks import (
    DOMINATED,
    FRONT,
    KNEE,
    STAR,
    Figure,
    Trace,
    bars,
    in_nature,
    layout,
    level,
    line,
    points,
)
from evomerge.results.report.scored import Axis, Scored
from fitness.costs import shown, shown_error, titled

# With more points than this on the front they are drawn small, and error bars would hide what they qualify.
FEW_POINTS = 80
# Dominated points are thinned to this many over all panels, so that the page stays quick.
DRAWN_POINTS = 5000
MOST_OBJECTIVES = 4  # that a predicted front is shown in pairs of


@dataclass(frozen=True, eq=False)
class Panel:
    """Two quantities against each other."""

    x: Axis
    y: Axis
    is_front: bool  # whether these two are all objectives, so that the front is a line here


def panels(scored: Scored) -> list[Panel]:
    """Return the panels of the front.

    One objective is shown against the candidates' numbers, two against each other, three and four in all pairs, and
    each of more than four against the mean of all the others.
    """
    axes = scored.axes
    if len(axes) == 1:
        return [Panel(Axis("candidate", scored.numbers.astype(np.float64), None), axes[0], is_front=False)]
    if len(axes) <= 4:
        return [Panel(x, y, is_front=len(axes) == 2) for x, y in itertools.combinations(axes, 2)]
    return [Panel(_mean(axes, k), axis, is_front=False) for k, axis in enumerate(axes)]


def dominated(scored: Scored, n_panels: int) -> NDArray[np.intp]:
    """Return the indices of the dominated points to draw, evenly thinned in the order of their evaluation."""
    rest = np.setdiff1d(np.arange(len(scored.numbers)), scored.front)
    most = max(500, DRAWN_POINTS // max(1, n_panels))
    if len(rest) <= most:
        return rest
    return rest[np.linspace(0, len(rest) - 1, most).astype(np.intp)]


def _mean(axes: list[Axis], left_out: int) -> Axis:
    others = [axis for k, axis in enumerate(axes) if k != left_out]
    costly = any(axis.cost for axis in others)  # tokens and right answers have no mean but by their ranges
    units = [float(np.ptp(axis.values)) or 1.0 if costly else 1.0 for axis in others]
    values = np.mean([axis.values / unit for axis, unit in zip(others, units, strict=True)], axis=0)
    of_each = [axis.stderrs / unit for axis, unit in zip(others, units, strict=True) if axis.stderrs is not None]
    stderrs = np.sqrt(np.sum([errors**2 for errors in of_each], axis=0)) / len(others)
    return Axis("mean of the others" + (", each by its range" if costly else ""), values, stderrs)


def front_figures(contents: Contents) -> list[Figure]:
    """Return one figure per panel of the front; every point's `customdata` starts with its candidate's number."""
    shown = panels(contents.scored) if len(contents.scored.numbers) else []
    return [_front(contents, panel, len(shown)) for panel in shown]


def _front(contents: Contents, panel: Panel, n_panels: int) -> Figure:
    scored, verified = contents.scored, contents.verification
    landmarks = [i for c in contents.landmarks if (i := scored.index(c.number)) is not None]
    parents = [i for i in landmarks if scored.numbers[i] in contents.parents]
    named = [*parents, *(i for i in landmarks if i not in parents)]
    few, several = len(scored.front) <= FEW_POINTS, scored.several
    small = {} if few else {"size": 6, "line": {"width": 0.5, "color": "var(--card)"}}
    rest = dominated(scored, n_panels)
    whole = scored.whole[rest]
    knee = [] if not several or (i := contents.picked("knee")) is None else [i]
    winner = [] if (i := contents.picked("winner")) is None else [i]
    star_name = (
        "verified winner" if verified and verified.wins else f"picked on {verified.chosen_on if verified else ''} items"
    )
    front = _points(contents, panel, scored.front, FRONT | small, "on the front" if several else "best")
    traces = [
        _points(contents, panel, rest[~whole], DOMINATED | {"size": 5, "symbol": "circle-open"}, "stopped early"),
        _points(contents, panel, rest[whole], DOMINATED, "merge"),
        *([_staircase(panel, scored.front)] if panel.is_front else []),
        front | (_errors(panel, scored.front) if few else {}),
        *_landmarks(contents, panel, parents, named),
        _points(contents, panel, knee, KNEE, "knee"),
        _points(contents, panel, winner, STAR, star_name),
    ]
    frame = layout(560 if n_panels == 1 else 330, panel.x.title, panel.y.title)
    if not several:
        frame["shapes"] = [level(float(panel.y.values[i]), "var(--muted)") for i in named]
    figure = {"data": [trace for trace in traces if trace["x"]], "layout": frame}
    return in_nature(figure, x=panel.x.cost, y=panel.y.cost)


def predicted_figures(contents: Contents, prediction: Prediction | None) -> list[Figure]:
    """Return one figure per pair of objectives, up to four of them; none for one objective or without a prediction."""
    if prediction is None or not set(prediction.objectives) <= set(contents.scored.objectives):
        return []
    pairs = itertools.combinations(range(min(len(prediction.objectives), MOST_OBJECTIVES)), 2)
    return [_predicted(contents, prediction, x, y) for x, y in pairs]


def _predicted(contents: Contents, prediction: Prediction, x: int, y: int) -> Figure:
    front, scored, names = prediction.front, contents.scored, prediction.objectives
    up, down = front.high - front.values, front.values - front.low
    predicted = points(
        front.values[:, x],
        front.values[:, y],
        {"symbol": "circle-open", "size": 7, "color": "var(--low)", "line": {"width": 1.5}},
        name="predicted",
        hovertemplate="predicted<br>%{x:.3f}, %{y:.3f}<extra></extra>",
        error_x=bars(up[:, x], "var(--band)", down=down[:, x], thickness=0.8),
        error_y=bars(up[:, y], "var(--band)", down=down[:, y], thickness=0.8),
    )
    places = [scored.objectives.index(names[k]) for k in (x, y)]
    real = points(
        scored.values[scored.front, places[0]],
        scored.values[scored.front, places[1]],
        FRONT,
        name="scored, on the front",
        text=[html.escape(contents.title(int(number))) for number in scored.numbers[scored.front]],
        hovertemplate="<b>%{text}</b>, scored<br>%{x:.3f}, %{y:.3f}<extra></extra>",
    )
    costs = [scored.costs[place] for place in places]
    frame = layout(330, titled(names[x], costs[0]), titled(names[y], costs[1]))
    figure = {"name": f"{names[y]} against {names[x]}", "data": [predicted, real], "layout": frame}
    return in_nature(figure, x=costs[0], y=costs[1])


def held_out_figures(contents: Contents) -> list[Figure]:
    """Return every model's difference to the best parent on test items; none before `verify`."""
    found = contents.verification
    rows = [] if found is None else [(row, row.difference) for row in found.rows if row.difference is not None]
    if found is None or not rows:
        return []
    groups: Mapping[str, list[int]] = {
        "var(--muted)": [k for k, (row, _) in enumerate(rows) if row.kind != "winner"],
        "var(--front)": [
            k for k, (row, _) in enumerate(rows) if row.kind == "winner" and row.candidate != found.winner
        ],
        "var(--winner)": [k for k, (row, _) in enumerate(rows) if row.candidate == found.winner],
    }
    names = (
        "parents and baselines",
        "other candidates",
        "verified winner" if found.wins else f"picked on {found.chosen_on} items",
    )
    traces = []
    for (colour, at), name in zip(groups.items(), names, strict=True):
        low, value, high = np.array([[d.low, d.value, d.high] for _, d in (rows[k] for k in at)]).reshape(-1, 3).T
        whiskers = bars(high - value, colour, down=value - low, thickness=2.4)
        trace = points(value, at, {"size": 9, "color": colour}, name=name, error_x=whiskers)
        traces.append(trace | {"hovertemplate": "%{x:+.3f}<extra></extra>"})
    against = f"difference of the mean to the best parent ({found.best_parent}), 95 % interval, test items"
    frame = layout(90 + 30 * len(rows), against, None)
    ticks = {"tickvals": list(range(len(rows))), "ticktext": [html.escape(row.name) for row, _ in rows]}
    frame["yaxis"] |= {**ticks, "range": [len(rows) - 0.4, -0.6]}
    frame["shapes"] = [level(0.0, "var(--ink)", along="y")]
    return [{"name": "on held-out items", "data": [trace for trace in traces if trace["x"]], "layout": frame}]


def _points(contents: Contents, panel: Panel, at: ArrayLike, marker: Trace, name: str) -> Trace:
    """Return the candidates at (n,) indices; a click or a pointer over them tells which they are."""
    at = np.asarray(at, dtype=np.intp)
    numbers = contents.scored.numbers[at].tolist()
    told = zip(numbers, _in_words(panel.x, at), _in_words(panel.y, at), strict=True)
    return points(
        panel.x.values[at],
        panel.y.values[at],
        marker,
        name=name,
        customdata=[list(row) for row in told],
        hovertext=[html.escape(contents.title(number)) for number in numbers],
        hovertemplate="<b>%{hovertext}</b><br>%{customdata[2]}<br>%{customdata[1]}<extra></extra>",
    )


def _errors(panel: Panel, at: NDArray[np.intp]) -> Trace:
    axes = {"error_x": panel.x, "error_y": panel.y}
    return {
        key: bars(axis.stderrs[at], "var(--band)", thickness=2)
        for key, axis in axes.items()
        if axis.stderrs is not None
    }


def _landmarks(contents: Contents, panel: Panel, parents: Sequence[int], named: Sequence[int]) -> list[Trace]:
    """Return parents as full diamonds and baselines as hollow ones, each with its name where it covers least."""
    xy = np.column_stack([panel.x.values, panel.y.values])
    names = [shortened(contents.title(int(contents.scored.numbers[i]))) for i in named]
    places = label_places(xy[list(named)], names, xy[contents.scored.front])
    texts = [_apart(html.escape(name), place) for name, place in zip(names, places, strict=True)]
    n, marker = len(parents), {"symbol": "diamond", "size": 11, "line": {"width": 2, "color": "var(--landmark)"}}
    return [
        _points(contents, panel, named[part], marker | {"color": fill}, name)
        | {
            "mode": "markers+text",
            "text": texts[part],
            "textposition": places[part],
            "textfont": {"size": 12, "color": "var(--ink)"},
            "cliponaxis": False,
        }
        for part, fill, name in ((slice(n), "var(--landmark)", "parent"), (slice(n, None), "var(--card)", "baseline"))
    ]


def _apart(name: str, place: str) -> str:
    """Return a label with a space towards its marker, where plotly leaves none."""
    return {"middle right": f"\u00a0{name}", "middle left": f"{name}\u00a0"}.get(place, name)


def _staircase(panel: Panel, front: NDArray[np.intp]) -> Trace:
    """Return the border of what the front dominates: points are joined by steps, not by merges nobody scored."""
    order = front[np.argsort(panel.x.values[front], kind="stable")]
    return line(panel.x.values[order], panel.y.values[order], width=1.5, shape="vh") | {"opacity": 0.55}


def _in_words(axis: Axis, at: NDArray[np.intp]) -> list[str]:
    name = html.escape(axis.title)
    if axis.stderrs is None:
        return [f"{name} {value:g}" for value in axis.values[at]]
    told = zip(axis.values[at], axis.stderrs[at], strict=True)
    return [f"{name} {shown(v, axis.cost)} ± {shown_error(e, axis.cost)}" for v, e in told]
