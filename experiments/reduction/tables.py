"""The replay's tables: what a good pick takes, what a fiftieth buys, and both for other regrets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from experiments.reduction.outcomes import Point, affordable, needed

CONFIDENCE = 0.95
GOAL = 50.0  # times fewer item evaluations than full evaluation
HEADER = ("strategy", "n", "evaluations", "fewer", "model's too", "right (95 % interval)", "at 50 times fewer")
Row = tuple[str, ...]


def tables(
    by_regret: Mapping[float, Sequence[Point]], counts: Sequence[int], n_items: int
) -> Iterator[tuple[str, list[Row]]]:
    """Yield titles and rows, the header first: one table per number of candidates, then one of all regrets."""
    smallest = min(by_regret)
    for count in counts:
        yield (
            f"{count} candidates, regret at most {_points_of(smallest)}",
            _by_strategy(by_regret[smallest], count, n_items),
        )
    largest = counts[-2:]  # response models leave fewer candidates than there are merges
    titles = [f"{count}, {_points_of(regret)}" for count in largest for regret in by_regret]
    rows: list[Row] = [("times fewer evaluations", *titles)]
    for name in dict.fromkeys(point.strategy for point in by_regret[smallest]):
        cells = [_times(points, name, count, n_items) for count in largest for points in by_regret.values()]
        rows.append((name, *cells))
    yield "candidates, regret", rows


def as_markdown(title: str, rows: Sequence[Row]) -> list[str]:
    """Return the lines of a table in Markdown."""
    marks = ["---", *["---:"] * (len(rows[0]) - 1)]
    return ["", f"**{title}**", "", *("| " + " | ".join(row) + " |" for row in (rows[0], marks, *rows[1:]))]


def _by_strategy(points: Sequence[Point], count: int, n_items: int) -> list[Row]:
    """Return what each line needs to be right in 95 %, and how often it is right with a fiftieth of full evaluation."""
    full = count * n_items
    rows: list[Row] = [HEADER, ("full evaluation", str(n_items), f"{full:,}", "1.0", "", "100 %", "")]
    for name in dict.fromkeys(point.strategy for point in points if point.candidates == count):
        found = needed(points, name, count, CONFIDENCE)
        within = affordable(points, name, count, full / GOAL)
        rows.append((name, *_needed(found, n_items), _affordable(within)))
    return rows


def _needed(point: Point | None, n_items: int) -> Row:
    if point is None:
        return "", "not reached", "", "", ""
    with_model = f"{point.times_fewer(n_items, calibrated=True):.1f}" if point.calibration else ""
    right = f"{100 * point.probability:.1f} % ({100 * point.low:.0f} to {100 * point.high:.0f})"
    return str(point.n), f"{point.evaluations:,.0f}", f"{point.times_fewer(n_items):.1f}", with_model, right


def _times(points: Sequence[Point], name: str, count: int, n_items: int) -> str:
    """Return how many times fewer evaluations a line needs; empty where it cannot be had for want of candidates."""
    if not any((point.strategy, point.candidates) == (name, count) for point in points):
        return ""
    found = needed(points, name, count, CONFIDENCE)
    return "not reached" if found is None else f"{found.times_fewer(n_items):.1f}"


def _affordable(point: Point | None) -> str:
    return "" if point is None else f"{100 * point.probability:.0f} %, regret {100 * point.regret:.1f}"


def _points_of(regret: float) -> str:
    return f"{100 * regret:g} point{'' if regret == 0.01 else 's'}"
