"""The front that MAP's surrogates predict beside the one that was scored."""

from __future__ import annotations

import html
import itertools

from evomerge.results.predicted_front import Prediction
from evomerge.results.report.contents import Contents
from evomerge.results.report.marks import FRONT, Figure, bars, layout, points

MOST_OBJECTIVES = 4


def predicted_figures(contents: Contents, prediction: Prediction | None) -> list[Figure]:
    """Return one figure per pair of objectives, up to four of them; none for one objective or without a prediction."""
    if prediction is None or tuple(contents.scored.objectives) != prediction.objectives:
        return []
    pairs = itertools.combinations(range(min(len(prediction.objectives), MOST_OBJECTIVES)), 2)
    return [_pair(contents, prediction, x, y) for x, y in pairs]


def _pair(contents: Contents, prediction: Prediction, x: int, y: int) -> Figure:
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
    real = points(
        scored.values[scored.front, x],
        scored.values[scored.front, y],
        FRONT,
        name="scored, on the front",
        text=[html.escape(contents.title(int(number))) for number in scored.numbers[scored.front]],
        hovertemplate="<b>%{text}</b>, scored<br>%{x:.3f}, %{y:.3f}<extra></extra>",
    )
    frame = layout(330, names[x], names[y])
    return {"name": f"{names[y]} against {names[x]}", "data": [predicted, real], "layout": frame}
