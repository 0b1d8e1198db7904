"""The course of a search: the best so far of every quantity, as steps, what it asked, and where candidates stopped."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from evomerge.results.report.contents import Contents
from evomerge.results.report.items_used import ItemsUsed
from evomerge.results.report.marks import (
    DOMINATED,
    Figure,
    Trace,
    in_nature,
    layout,
    level,
    line,
    points,
    rounded,
    words,
)
from evomerge.results.report.scored import Axis, Scored
from fitness.scores import Stopped

Reason = Literal["worse", "hopeless", "rung", "screen"]
REASONS: Mapping[Reason, str] = {
    "worse": "behind a rival, with confidence",
    "hopeless": "cannot catch up with a rival",
    "rung": "left behind by a halving",
    "screen": "set aside by the screen",
}
SYMBOLS: Mapping[Reason, str] = {"worse": "circle", "hopeless": "diamond", "rung": "square", "screen": "triangle-up"}
MOST_STEPS = 400
MOST_IN_A_VOLUME = 4  # objectives; a hypervolume costs O(n ** m)


def progress_figures(contents: Contents) -> list[Figure]:
    """Return the best so far: of several objectives relative hypervolume and mean first, then of each objective.

    Relative hypervolume is the share of the box that all scores span which the front so far dominates. Every figure has
    `by`: what its x may be, evaluations or time.
    """
    scored = contents.scored
    if not scored.whole.any():
        return []
    found = [_best(contents, axis) for axis in scored.axes]
    if len(found) == 1:
        return found
    if np.count_nonzero(scored.weights) == 1:  # the mean is one of them
        return [*_hypervolume(contents), *found]
    mean = Axis("mean of all objectives" + scored.label, scored.means, scored.mean_stderrs)
    return [*_hypervolume(contents), _best(contents, mean), *found]


def _best(contents: Contents, axis: Axis) -> Figure:
    steps = new_bests(np.where(contents.scored.whole, axis.values, -np.inf))
    parents = [float(axis.values[i]) for i in map(contents.scored.index, contents.parents) if i is not None]
    assert axis.stderrs is not None
    held = _held(steps)
    figure = _figure(contents, axis.title, steps, axis.values[held])
    (best,) = figure["data"]
    best["text"] = [f"{error:.3f}" for error in axis.stderrs[held]]
    best["hovertemplate"] = best["hovertemplate"].replace("%{y:.3f}", "%{y:.3f} ± %{text}")
    ends = (axis.values[held] + sign * axis.stderrs[held] for sign in (-1, 1))
    low, high = (line(best["x"], end, shape="hv", width=0) for end in ends)
    figure["data"] = [low, high | {"fill": "tonexty", "fillcolor": "var(--band)"}, best]
    if parents:
        figure["layout"]["shapes"] = [level(max(parents), "var(--landmark)")]
        at = {"xref": "x domain", "yanchor": "top", "font": {"size": 11}}
        figure["layout"]["annotations"] = [words(1, max(parents), "best parent", **at)]
    return in_nature(figure, y=axis.cost)


def _hypervolume(contents: Contents) -> list[Figure]:
    steps, volumes = relative_hypervolumes(contents.scored)
    found = np.append(volumes, volumes[-1:])
    return [_figure(contents, "relative hypervolume", steps, found)] if len(steps) else []


def relative_hypervolumes(scored: Scored) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return the ascending indices of those that enlarged the front, and the share of the box it dominates from then.

    The box is what all scores span; nothing with more than `MOST_IN_A_VOLUME` objectives.
    """
    import moocore

    values = scored.values[:, scored.counting]
    low, span = values.min(axis=0), np.ptp(values, axis=0)
    scaled = (values - low) / np.where(span > 0, span, 1.0)
    front = np.zeros((1, scaled.shape[1]))
    steps, volumes = [], []
    usable = scored.whole & (scored.violations == 0) & (len(low) <= MOST_IN_A_VOLUME)
    for i in np.flatnonzero(usable).tolist():
        if not (front >= scaled[i]).all(axis=1).any():
            front = np.vstack([front[~(front <= scaled[i]).all(axis=1)], scaled[i]])
            steps.append(i)
            volumes.append(float(moocore.hypervolume(front, ref=np.zeros(len(low)), maximise=True)))
    return np.array(steps, dtype=np.intp), np.array(volumes)


def new_bests(values: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return the ascending indices of (n,) values that are higher than all before them."""
    if not len(values):
        return np.empty(0, dtype=np.intp)
    before = np.concatenate([[-np.inf], np.maximum.accumulate(values)[:-1]])
    return np.flatnonzero(values > before)


def _held(steps: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return the steps and the last one again: the last best holds until the last outcome."""
    return np.append(steps, steps[-1])


def _figure(contents: Contents, name: str, steps: NDArray[np.intp], values: NDArray[np.float64]) -> Figure:
    """Return (n_steps + 1,) values that were reached by the candidates at (n_steps,) indices."""
    scored = contents.scored
    hours, title = _in_unit(np.append(scored.hours[steps], contents.hours))
    best: Trace = line(np.append(scored.evaluation[steps], contents.evaluations), values, shape="hv")
    best |= {"name": "best so far", "customdata": scored.numbers[_held(steps)].tolist(), "hoverinfo": "all"}
    best |= {"hovertemplate": "<b>candidate %{customdata}</b><br>%{y:.3f}<extra></extra>"}
    by = {"evaluations": {"x": best["x"], "title": "evaluations"}, "time": {"x": rounded(hours), "title": title}}
    return {"name": name, "data": [best], "layout": layout(230, "evaluations", None), "by": by}


def _in_unit(hours: NDArray[np.float64]) -> tuple[NDArray[np.float64], str]:
    longest = float(hours.max(initial=0.0))
    if longest < 3 / 60:
        return hours * 3600, "seconds of search"
    return (hours * 60, "minutes of search") if longest < 3 else (hours, "hours of search")


def item_figures(contents: Contents) -> list[Figure]:
    """Return the figures that say something: none where every candidate answered every search item."""
    items = contents.items
    if items is None or not items.says_something:
        return []
    return [_items_used(items), *([_stops(contents, items)] if any(contents.scored.stops) else [])]


def _items_used(items: ItemsUsed) -> Figure:
    """Return the items answered against the candidates, under the line of whole evaluation."""
    steps = np.unique(np.linspace(0, len(items.candidates) - 1, MOST_STEPS).round().astype(int))
    n, answered = int(items.candidates[-1]), int(items.answered[-1])
    used = line([0, *items.candidates[steps]], [0, *items.answered[steps]])
    used |= {"fill": "tozeroy", "fillcolor": "var(--band)", "hoverinfo": "all"}
    used |= {"hovertemplate": "%{x} candidates<br><b>%{y:,} items answered</b><extra></extra>"}
    whole = line([0, n], [0, items.whole], "var(--muted)", width=1.4, dash="dot")
    frame = layout(330, "candidates", "items answered")
    frame["xaxis"] |= {"range": [0, 1.02 * n]}
    frame["yaxis"] |= {"tickformat": "~s", "range": [0, 1.12 * items.whole]}
    # The lower line's name stands in the area under it, or above it where that is low.
    height = 0.5 * answered if answered > 0.3 * items.whole else answered
    frame["annotations"] = [
        words(n, items.whole, f"each candidate whole: {items.whole:,}"),
        words(n, height, f"answered: {answered:,}", font={"color": "var(--front)"}),
    ]
    return {"name": "items against candidates", "data": [whole, used], "layout": frame}


def _stops(contents: Contents, items: ItemsUsed) -> Figure:
    """Return the share of its items that each candidate answered, in the order in which they were made."""
    scored = contents.scored
    whole = scored.numbers[scored.whole]
    names = [html.escape(contents.title(number)) for number in whole.tolist()]
    hover = "<b>%{text}</b><br>all of its items<extra></extra>"
    all_of_them = points(whole, np.full(len(whole), 100.0), DOMINATED | {"size": 5}, text=names, hovertemplate=hover)
    traces = [all_of_them | {"name": "all of its items"}]
    for reason in dict.fromkeys(stop.reason for stop in scored.stops if stop):
        told = [(n, s) for n, s in zip(scored.numbers.tolist(), scored.stops, strict=True) if s and s.reason == reason]
        traces.append(
            points(
                [number for number, _ in told],
                [100 * stop.n_items / items.each for _, stop in told],
                {"size": 8, "symbol": SYMBOLS[reason], "color": f"var(--{reason})"},
                name=f"{REASONS[reason]} ({len(told)})",
                text=[_told(contents, number, stop, items) for number, stop in told],
                hovertemplate="%{text}<extra></extra>",
            )
        )
    frame = layout(330, "candidate", "share of its items answered")
    frame["yaxis"] |= {"range": [-4, 106], "ticksuffix": " %"}
    return {"name": "where candidates were stopped", "data": traces, "layout": frame}


def _told(contents: Contents, number: int, stop: Stopped, items: ItemsUsed) -> str:
    told = f"<b>{html.escape(contents.title(number))}</b><br>stopped after {stop.n_items} of {items.each} items"
    rival = "" if stop.rival is None else f": {html.escape(contents.title(stop.rival))}"
    return f"{told}<br>{REASONS[stop.reason]}{rival}"
