"""What the search asked: items against candidates, and where candidates were stopped."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Literal

import numpy as np

from evomerge.results.report.contents import Contents
from evomerge.results.report.items_used import ItemsUsed
from evomerge.results.report.marks import DOMINATED, Figure, layout, line, points, words
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
