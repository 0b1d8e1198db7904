"""The best so far of every quantity, as steps; what was stopped does not count."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from evomerge.results.report.contents import Contents, new_bests
from evomerge.results.report.marks import Figure, Trace, layout, level, line, rounded, words
from evomerge.results.report.panels import Axis, objective_axes

MOST_IN_A_VOLUME = 4  # objectives; a hypervolume costs O(n ** m)


def progress_figures(contents: Contents) -> list[Figure]:
    """Return the best so far: of several objectives relative hypervolume and mean first, then of each objective.

    Relative hypervolume is the share of the box that all scores span which the front so far dominates. Every figure has
    `by`: what its x may be, evaluations or time.
    """
    scored = contents.scored
    if not scored.whole.any():
        return []
    found = [_best(contents, axis) for axis in objective_axes(scored)]
    if len(found) == 1:
        return found
    mean = Axis("mean of all objectives" + scored.label, scored.means, scored.mean_stderrs)
    return [*_hypervolume(contents), _best(contents, mean), *found]


def _best(contents: Contents, axis: Axis) -> Figure:
    steps = new_bests(np.where(contents.scored.whole, axis.values, -np.inf))
    parents = [float(axis.values[i]) for i in map(contents.scored.index, contents.parents) if i is not None]
    assert axis.stderrs is not None
    held = _held(steps)
    figure = _figure(contents, axis.name, steps, axis.values[held])
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
    return figure


def _hypervolume(contents: Contents) -> list[Figure]:
    import moocore

    scored = contents.scored
    low, span = scored.values.min(axis=0), np.ptp(scored.values, axis=0)
    scaled = (scored.values - low) / np.where(span > 0, span, 1.0)
    front = np.zeros((1, scaled.shape[1]))
    steps, volumes = [], []
    usable = scored.whole & (scored.violations == 0) & (len(low) <= MOST_IN_A_VOLUME)
    for i in np.flatnonzero(usable).tolist():
        if not (front >= scaled[i]).all(axis=1).any():
            front = np.vstack([front[~(front <= scaled[i]).all(axis=1)], scaled[i]])
            steps.append(i)
            volumes.append(float(moocore.hypervolume(front, ref=np.zeros(len(low)), maximise=True)))
    name = "relative hypervolume"
    return [_figure(contents, name, np.array(steps), np.array([*volumes, volumes[-1]]))] if steps else []


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
