"""Items against candidates, where candidates were stopped, and finalists' held-out scores, with matplotlib."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from evomerge.report.contents import Contents
from evomerge.report.finalists import NORMAL_95, BothScores
from evomerge.report.item_figures import REASONS, name_height
from evomerge.report.items_used import ItemsUsed
from evomerge.report.palette import LIGHT

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MARKERS = {"worse": "o", "hopeless": "D", "rung": "s", "screen": "^"}


def draw_items(ax: Axes, items: ItemsUsed) -> None:
    """Draw the items that candidates answered, under the line of whole evaluation."""
    n, answered = int(items.candidates[-1]), int(items.answered[-1])
    ax.plot([0, n], [0, items.whole], ":", color=LIGHT["muted"], linewidth=1.2)
    x, y = [0, *items.candidates.tolist()], [0, *items.answered.tolist()]
    ax.fill_between(x, y, color=LIGHT["front"], alpha=0.16, linewidth=0)
    ax.plot(x, y, color=LIGHT["front"], linewidth=1.8)
    ends: dict[str, Any] = {"textcoords": "offset points", "ha": "right", "fontsize": 8.5}
    ax.annotate(f"each candidate whole: {items.whole:,}", (n, items.whole), (-4, 4), **ends)
    ax.annotate(f"answered: {answered:,}", (n, name_height(items)), (-4, 4), color=LIGHT["front"], **ends)
    ax.set_xlim(0, 1.02 * n)
    ax.set_ylim(0, 1.14 * items.whole)
    ax.yaxis.set_major_formatter("{x:,.0f}")
    ax.set_xlabel("candidates")
    ax.set_ylabel("items answered")


def draw_stops(ax: Axes, contents: Contents, items: ItemsUsed) -> None:
    """Draw the share of its items that each candidate answered."""
    scored = contents.scored
    whole = scored.numbers[scored.whole]
    ax.plot(whole, np.full(len(whole), 100.0), "o", markersize=3.5, color=LIGHT["dominated"], label="all of its items")
    for reason, words in REASONS.items():
        told = [(n, s.n_items) for n, s in zip(scored.numbers, scored.stops, strict=True) if s and s.reason == reason]
        if told:
            x, n_items = np.array(told).T
            style: dict[str, Any] = {"color": LIGHT[reason], "label": words, "markersize": 5, "linestyle": "none"}
            ax.plot(x, 100 * n_items / items.each, marker=_MARKERS[reason], **style)
    ax.set_ylim(-4, 108)
    ax.yaxis.set_major_formatter("{x:.0f} %")
    ax.set_xlabel("candidate")
    ax.set_ylabel("share of its items answered")
    ax.legend(frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.18), ncols=2)


def draw_finalists(ax: Axes, found: BothScores) -> None:
    """Draw the means on held-out items against those on search items, with 95 % intervals."""
    x, y = found.searched.mean(axis=1), found.held_out.mean(axis=1)
    m = found.searched.shape[1]
    errors = [NORMAL_95 * np.sqrt((e**2).sum(axis=1)) / m for e in (found.searched_stderrs, found.held_out_stderrs)]
    style: dict[str, Any] = {"fmt": "o", "markersize": 5.5, "color": LIGHT["front"], "elinewidth": 1}
    ax.errorbar(x, y, xerr=errors[0], yerr=errors[1], **style)
    ends = [ax.get_xlim(), ax.get_ylim()]
    low, high = min(a for a, _ in ends), max(b for _, b in ends)
    ax.plot([low, high], [low, high], ":", color=LIGHT["muted"], linewidth=1.2)
    ax.set_xlim(low, high)
    ax.set_ylim(low, high)
    ax.set_xlabel("estimate on search items, mean of the objectives")
    ax.set_ylabel(f"{found.split} items")
