"""What the search asked, as plotly's JSON: items against candidates, and where candidates were stopped."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from evomerge.report.contents import Contents
from evomerge.report.figures import Figure, layout, rounded
from evomerge.report.items_used import ItemsUsed
from fitness.scores import Stopped

Reason = Literal["worse", "hopeless", "rung", "screen"]
REASONS: Mapping[Reason, str] = {
    "worse": "behind a rival, with confidence",
    "hopeless": "cannot catch up with a rival",
    "rung": "left behind at a rung",
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


def stop_legend(contents: Contents) -> list[tuple[str, str, int]]:
    """Return (reason, its words, how many candidates were stopped for it), those that occurred alone."""
    found = [stop.reason for stop in contents.scored.stops if stop is not None]
    return [(reason, words, found.count(reason)) for reason, words in REASONS.items() if reason in found]


def _items_used(items: ItemsUsed) -> Figure:
    """Return the items answered against the candidates, under the line of whole evaluation."""
    steps = np.unique(np.linspace(0, len(items.candidates) - 1, MOST_STEPS).round().astype(int))
    n = int(items.candidates[-1])
    used = {
        "x": [0, *items.candidates[steps].tolist()],
        "y": [0, *items.answered[steps].tolist()],
        "mode": "lines",
        "line": {"width": 2.2, "color": "var(--front)"},
        "fill": "tozeroy",
        "fillcolor": "var(--band)",
        "hovertemplate": "%{x} candidates<br><b>%{y:,} items answered</b><extra></extra>",
    }
    whole = {
        "x": [0, n],
        "y": [0, items.whole],
        "mode": "lines",
        "line": {"width": 1.4, "dash": "dot", "color": "var(--muted)"},
        "hoverinfo": "skip",
    }
    frame = layout(330, "candidates", "items answered")
    frame["xaxis"] |= {"range": [0, 1.02 * n]}
    frame["yaxis"] |= {"tickformat": "~s", "range": [0, 1.12 * items.whole]}
    answered = int(items.answered[-1])
    frame["annotations"] = [
        _end(n, items.whole, f"each candidate whole: {items.whole:,}", "var(--muted)"),
        _end(n, name_height(items), f"answered: {answered:,}", "var(--front)"),
    ]
    data = [{"type": "scatter", **trace} for trace in (whole, used)]
    return {"name": "items against candidates", "data": data, "layout": frame}


def name_height(items: ItemsUsed) -> float:
    """Return where the name of the lower line stands at its end: in the area under it, or above it if that is low."""
    answered = float(items.answered[-1])
    return 0.5 * answered if answered > 0.3 * items.whole else answered


def _end(x: int, y: float, text: str, colour: str) -> dict[str, Any]:
    """Return a line's name, left of its end and above it."""
    font = {"size": 12, "color": colour}
    return {"x": x, "y": y, "text": text, "xanchor": "right", "yanchor": "bottom", "showarrow": False, "font": font}


def _stops(contents: Contents, items: ItemsUsed) -> Figure:
    """Return the share of its items that each candidate answered, in the order in which they were made."""
    scored = contents.scored
    whole = np.flatnonzero(scored.whole)
    traces = [
        {
            "x": scored.numbers[whole].tolist(),
            "y": [100.0] * len(whole),
            "marker": {"size": 5, "color": "var(--dominated)"},
            "text": [html.escape(contents.title(number)) for number in scored.numbers[whole].tolist()],
            "hovertemplate": "<b>%{text}</b><br>all of its items<extra></extra>",
        }
    ]
    for reason in dict.fromkeys(stop.reason for stop in scored.stops if stop):
        told = [(number, stop) for number, stop in zip(scored.numbers.tolist(), scored.stops, strict=True) if stop]
        told = [(number, stop) for number, stop in told if stop.reason == reason]
        traces.append(
            {
                "x": [number for number, _ in told],
                "y": rounded(np.array([100 * stop.n_items / items.each for _, stop in told])),
                "marker": {"size": 8, "symbol": SYMBOLS[reason], "color": f"var(--{reason})"},
                "text": [_told(contents, number, stop, items) for number, stop in told],
                "hovertemplate": "%{text}<extra></extra>",
            }
        )
    frame = layout(330, "candidate", "share of its items answered")
    frame["yaxis"] |= {"range": [-4, 106], "ticksuffix": " %"}
    data = [{"type": "scatter", "mode": "markers", **trace} for trace in traces]
    return {"name": "where candidates were stopped", "data": data, "layout": frame}


def _told(contents: Contents, number: int, stop: Stopped, items: ItemsUsed) -> str:
    words = f"<b>{html.escape(contents.title(number))}</b><br>stopped after {stop.n_items} of {items.each} items"
    rival = "" if stop.rival is None else f": {html.escape(contents.title(stop.rival))}"
    return f"{words}<br>{REASONS[stop.reason]}{rival}"
