"""What estimates on search items promised, and what held-out items say of the same candidates."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evomerge.results.report.contents import Contents
from evomerge.results.report.marks import FRONT, STAR, Figure, Trace, bars, layout, points
from evomerge.typing import Floats
from fitness.scores import Split

NORMAL_95 = 1.959964


@dataclass(frozen=True, eq=False)
class BothScores:
    """Candidates that were scored on search items and on one held-out split."""

    split: Split  # the held-out one
    numbers: NDArray[np.int64]  # (n,) candidates' numbers
    searched: Floats  # (n, m) objectives, higher is better
    searched_stderrs: Floats  # (n, m), at least 0
    held_out: Floats  # (n, m) objectives, higher is better
    held_out_stderrs: Floats  # (n, m), at least 0

    @property
    def gaps(self) -> Floats:
        """Return the (n,) means on search items less those on held-out items."""
        return np.asarray((self.searched - self.held_out).mean(axis=1))

    @property
    def kept(self) -> NDArray[np.bool_]:
        """Return (n,) whether a gap is within its 95 % interval; both sides are uncertain, on different items."""
        squares = self.searched_stderrs**2 + self.held_out_stderrs**2
        return np.asarray(np.abs(self.gaps) <= NORMAL_95 * np.sqrt(squares.sum(axis=1)) / self.searched.shape[1])


def both_scores(contents: Contents, split: Split, numbers: Sequence[int]) -> BothScores:
    """Return those of the candidates that were scored on search items and on a held-out split."""
    scored, estimates = contents.scored, contents.held_out.get(split, {})
    found = [(number, i) for number in numbers if number in estimates and (i := scored.index(number)) is not None]
    at = np.array([i for _, i in found], dtype=np.intp)
    held_out = np.array([[[o.value, o.stderr] for o in estimates[number].objectives] for number, _ in found])
    held_out = held_out.reshape(len(found), len(scored.objectives), 2)
    return BothScores(
        split,
        np.array([number for number, _ in found], dtype=np.int64),
        scored.values[at],
        scored.stderrs[at],
        held_out[:, :, 0],
        held_out[:, :, 1],
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
            f"The finalist's mean on {found.split} items is {abs(gap):.3f} {direction} its estimate on search items, "
            f"{'within' if kept else 'outside'} the 95 % interval of the difference."
        )
    return (
        f"The means of the {n} finalists on {found.split} items are on average {abs(gap):.3f} {direction} their "
        f"estimates on search items; for {kept} of {n} the difference is within its 95 % interval."
    )


def finalist_figures(contents: Contents) -> list[Figure]:
    """Return a figure of the mean of the objectives and, of several, one of each; none before `verify`."""
    found = finalists(contents)
    if not len(found.numbers):
        return []
    winners = [winner.candidate for winner in contents.verification.winners] if contents.verification else []
    tested = both_scores(contents, "test", winners if found.split == "validation" else [])
    several = len(contents.scored.objectives) > 1
    quantities: list[tuple[str, int | None]] = [("mean of all objectives", None)] if several else []
    quantities += [(name, k) for k, name in enumerate(contents.scored.objectives)]
    return [_figure(contents, name, k, (found, tested)) for name, k in quantities]


def _figure(contents: Contents, name: str, k: int | None, groups: tuple[BothScores, BothScores]) -> Figure:
    found, tested = groups
    told = ((found, FRONT, "finalist"), (tested, STAR | {"size": 13}, "picked, on test items"))
    traces = [_points(contents, group, k, marker) | {"name": who} for group, marker, who in told if len(group.numbers)]
    low, high = _reach(traces)
    frame = layout(330, "estimate on search items", "held-out items" if len(tested.numbers) else f"{found.split} items")
    frame["xaxis"] |= {"range": [low, high]}
    frame["yaxis"] |= {"range": [low, high]}
    line = {"dash": "dot", "width": 1.2, "color": "var(--muted)"}
    frame["shapes"] = [{"type": "line", "x0": low, "y0": low, "x1": high, "y1": high, "line": line, "layer": "below"}]
    return {"name": name, "data": traces, "layout": frame}


def _reach(traces: Sequence[Trace]) -> tuple[float, float]:
    """Return the range that holds every point with its bars, on both axes alike."""
    ends = [
        np.array(t[a]) + sign * np.array(t[f"error_{a}"]["array"]) for t in traces for a in "xy" for sign in (-1, 1)
    ]
    low, high = float(np.concatenate(ends).min()), float(np.concatenate(ends).max())
    margin = 0.04 * (high - low) or 0.1
    return low - margin, high + margin


def _points(contents: Contents, group: BothScores, k: int | None, marker: dict[str, Any]) -> Trace:
    searched, x_error = _of(group.searched, group.searched_stderrs, k)
    held_out, y_error = _of(group.held_out, group.held_out_stderrs, k)
    kinds = ["estimated" if contents.scored.estimated[contents.scored.index(n)] else "full" for n in group.numbers]
    told = zip(searched, x_error, held_out, y_error, kinds, strict=True)
    return points(
        searched,
        held_out,
        marker,
        error_x=bars(NORMAL_95 * x_error, marker["color"]),
        error_y=bars(NORMAL_95 * y_error, marker["color"]),
        text=[html.escape(contents.title(number)) for number in group.numbers.tolist()],
        customdata=[[f"{x:.3f} ± {dx:.3f} ({kind})", f"{y:.3f} ± {dy:.3f}"] for x, dx, y, dy, kind in told],
        hovertemplate="<b>%{text}</b><br>search items %{customdata[0]}"
        f"<br>{group.split} items %{{customdata[1]}}<extra></extra>",
    )


def _of(values: Floats, stderrs: Floats, k: int | None) -> tuple[Floats, Floats]:
    """Return an objective's values and standard errors, or those of the mean of all."""
    if k is not None:
        return values[:, k], stderrs[:, k]
    return values.mean(axis=1), np.sqrt((stderrs**2).sum(axis=1)) / values.shape[1]
