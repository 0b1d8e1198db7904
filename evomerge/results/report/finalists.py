"""What estimates on search items promised, and what held-out items say of the same candidates."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evomerge.results.report.contents import Contents
from evomerge.results.report.marks import FRONT, STAR, Figure, Trace, bars, in_nature, layout, points
from evomerge.typing import Floats
from fitness.costs import Cost, shown, titled
from fitness.scores import Estimate, Split
from fitness.statistics import limits_of_objective

NORMAL_95 = 1.959964


@dataclass(frozen=True, eq=False)
class Measures:
    """Objectives of candidates on one split."""

    values: Floats  # (n, m, 3): value, lower and upper end of its 95 % interval; higher is better
    mean_stderrs: Floats  # (n,) standard errors of the means, at least 0
    weights: Floats  # (m,) of the objectives in the mean; they sum to 1

    @staticmethod
    def among(estimates: Sequence[Estimate], weights: Floats) -> Measures:
        """Return those of estimates."""
        shape = (len(estimates), len(weights))
        found = [[(o.value, *limits_of_objective(o)) for o in estimate.objectives] for estimate in estimates]
        errors = np.array([estimate.mean_stderr for estimate in estimates], dtype=np.float64)
        return Measures(np.array(found).reshape(*shape, 3), errors, weights)

    def of(self, k: int | None) -> Floats:
        """Return (n, 3) value and ends of an objective, or of the mean of all by their weights."""
        if k is not None:
            return np.asarray(self.values[:, k])
        value, low, high = np.moveaxis(self.values, 2, 0)
        mean = value @ self.weights
        below, above = (np.sqrt((end - value) ** 2 @ self.weights**2) for end in (low, high))
        return np.stack([mean, mean - below, mean + above], axis=1)


@dataclass(frozen=True, eq=False)
class BothScores:
    """Candidates that were scored on search items and on one held-out split."""

    split: Split  # the held-out one
    numbers: NDArray[np.int64]  # (n,) candidates' numbers
    searched: Measures
    held_out: Measures

    @property
    def gaps(self) -> Floats:
        """Return the (n,) means on search items less those on held-out items."""
        return self.searched.of(None)[:, 0] - self.held_out.of(None)[:, 0]

    @property
    def kept(self) -> NDArray[np.bool_]:
        """Return (n,) whether a gap is within its 95 % interval; both sides are uncertain, on different items."""
        margins = NORMAL_95 * np.hypot(self.searched.mean_stderrs, self.held_out.mean_stderrs)
        return np.asarray(np.abs(self.gaps) <= margins)


def both_scores(contents: Contents, split: Split, numbers: Sequence[int]) -> BothScores:
    """Return those of the candidates that were scored on search items, as expected, and on a held-out split."""
    scored, estimates = contents.scored, contents.held_out.get(split, {})
    found = [(number, i) for number in numbers if number in estimates and (i := scored.index(number)) is not None]
    return BothScores(
        split,
        np.array([number for number, _ in found], dtype=np.int64),
        Measures.among([contents.expected[number] for number, _ in found], scored.weights),
        Measures.among([estimates[number] for number, _ in found], scored.weights),
    )


def finalists(contents: Contents) -> BothScores:
    """Return the candidates that winners were chosen among: on validation items, where there are none on test items."""
    splits: tuple[Split, ...] = ("validation", "test")
    proposed = {split: [n for n in contents.held_out.get(split, {}) if n not in contents.labels] for split in splits}
    found = [both_scores(contents, split, numbers) for split, numbers in proposed.items()]
    return found[0] if len(found[0].numbers) else found[1]


def finalists_in_words(contents: Contents) -> str:
    """Return what the finalists' gaps come to; empty before `verify`."""
    found = finalists(contents)
    n = len(found.numbers)
    if not n:
        return ""
    gap, kept = float(found.gaps.mean()), int(found.kept.sum())
    direction = "below" if gap >= 0 else "above"
    if n == 1:
        return (
            f"The finalist's mean on {found.split} items is {abs(gap):.3f} {direction} what search items made expect, "
            f"{'within' if kept else 'outside'} the 95 % interval of the difference."
        )
    return (
        f"The means of the {n} finalists on {found.split} items are on average {abs(gap):.3f} {direction} what "
        f"search items made expect; for {kept} of {n} the difference is within its 95 % interval."
    )


def finalist_figures(contents: Contents) -> list[Figure]:
    """Return a figure of the mean of the objectives and, of several, one of each; none before `verify`."""
    found = finalists(contents)
    if not len(found.numbers):
        return []
    winners = [winner.candidate for winner in contents.verification.winners] if contents.verification else []
    tested = both_scores(contents, "test", winners if found.split == "validation" else [])
    is_one = any(contents.scored.costs) and np.count_nonzero(contents.scored.weights) == 1  # the mean, of them
    several = len(contents.scored.objectives) > 1 and not is_one
    quantities: list[tuple[str, int | None]] = [("mean of all objectives", None)] if several else []
    quantities += [(name, k) for k, name in enumerate(contents.scored.objectives)]
    return [_figure(contents, name, k, (found, tested)) for name, k in quantities]


def _figure(contents: Contents, name: str, k: int | None, groups: tuple[BothScores, BothScores]) -> Figure:
    found, tested = groups
    told = ((found, FRONT, "finalist"), (tested, STAR | {"size": 13}, "picked, on test items"))
    traces = [_points(contents, group, k, marker) | {"name": who} for group, marker, who in told if len(group.numbers)]
    low, high = _reach(traces)
    frame = layout(
        330, "expected from search items", "held-out items" if len(tested.numbers) else f"{found.split} items"
    )
    frame["xaxis"] |= {"range": [low, high]}
    frame["yaxis"] |= {"range": [low, high]}
    line = {"dash": "dot", "width": 1.2, "color": "var(--muted)"}
    frame["shapes"] = [{"type": "line", "x0": low, "y0": low, "x1": high, "y1": high, "line": line, "layer": "below"}]
    cost = None if k is None else contents.scored.costs[k]
    return in_nature({"name": titled(name, cost), "data": traces, "layout": frame}, x=cost, y=cost)


def _reach(traces: Sequence[Trace]) -> tuple[float, float]:
    """Return the range that holds every point with its bars, on both axes alike."""
    reach = {"arrayminus": -1, "array": 1}
    ends = [
        np.array(t[a]) + sign * np.array(t[f"error_{a}"][end])
        for t in traces
        for a in "xy"
        for end, sign in reach.items()
    ]
    low, high = float(np.concatenate(ends).min()), float(np.concatenate(ends).max())
    margin = 0.04 * (high - low) or 0.1
    return low - margin, high + margin


def _points(contents: Contents, group: BothScores, k: int | None, marker: dict[str, Any]) -> Trace:
    x, y, cost = group.searched.of(k), group.held_out.of(k), None if k is None else contents.scored.costs[k]
    kinds = ["estimated" if contents.scored.estimated[contents.scored.index(n)] else "full" for n in group.numbers]
    return points(
        x[:, 0],
        y[:, 0],
        marker,
        error_x=bars(x[:, 2] - x[:, 0], marker["color"], down=x[:, 0] - x[:, 1]),
        error_y=bars(y[:, 2] - y[:, 0], marker["color"], down=y[:, 0] - y[:, 1]),
        text=[html.escape(contents.title(number)) for number in group.numbers.tolist()],
        customdata=[
            [f"{_in_words(of_x, cost)} ({kind})", _in_words(of_y, cost)]
            for of_x, of_y, kind in zip(x, y, kinds, strict=True)
        ],
        hovertemplate="<b>%{text}</b><br>search items %{customdata[0]}"
        f"<br>{group.split} items %{{customdata[1]}}<extra></extra>",
    )


def _in_words(ends: Floats, cost: Cost | None) -> str:
    value, low, high = (shown(end, cost) for end in ends)
    low, high = (low, high) if cost is None else (high, low)
    return f"{value} (95 % interval {low} to {high})"
