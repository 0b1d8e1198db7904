"""Tables of results: pandas frames, and texts for terminals and notebooks."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from evomerge.campaign.start_points import is_start_point
from evomerge.errors import require
from evomerge.results.front import CampaignFront
from evomerge.results.verification.result import Row, Verification
from evomerge.visible import visible
from fitness.costs import Cost, is_exact, shown, shown_error, titled
from fitness.scores import Estimate, ObjectiveEstimate
from fitness.statistics import Difference
from search_spaces.recipes.layer_path import path_text, scales_text
from search_spaces.recipes.recipe import Recipe

if TYPE_CHECKING:
    import pandas as pd

Cells = tuple[list[str], list[list[str]]]  # a header, and the rows under it


def frame(rows: Sequence[dict[str, Any]], index: str | None = None) -> pd.DataFrame:
    """Return rows as a pandas frame."""
    require("pandas", "notebook")
    import pandas as pd

    table = pd.DataFrame(list(rows))
    return table if index is None or table.empty else table.set_index(index)


def objective_columns(objectives: Sequence[ObjectiveEstimate], fixed: Collection[str]) -> dict[str, float]:
    """Return each objective and its standard error as columns; names that are taken begin with `objective `."""
    taken = {*fixed, *(f"{objective.name} stderr" for objective in objectives)}
    columns: dict[str, float] = {}
    for objective in objectives:
        name = distinct(objective.name, taken, "objective")
        columns |= {name: objective.value, f"{name} stderr": objective.stderr}
    return columns


def distinct(name: str, taken: Collection[str], prefix: str) -> str:
    """Return the name of a column, with the prefix where it is taken."""
    while name in taken:
        name = f"{prefix} {name}"
    return name


def in_html(text: str) -> str:
    """Return text that stands in HTML as it is."""
    return escape(visible(text))


def table_html(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return an HTML table of texts."""
    head = "".join(f"<th>{in_html(name)}</th>" for name in header)
    body = "".join("<tr>" + "".join(f"<td>{in_html(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def front_cells(front: CampaignFront, *, beside: bool = False) -> Cells:
    """Return a row for each point, with its picks; the paths through the layers only where there are some.

    Beside the mean that was observed stands the one that is expected of a candidate picked among so many. With `beside`
    the references follow that are not on the front.
    """
    if not front.points:
        return ["candidate", "mean"], []
    points = (*front.points, *(front.references if beside else ()))
    estimates = [point.estimate for point in points]
    paths = [_path(point.candidate.recipe) for point in points]
    header = ["candidate", *map(_title, estimates[0].objectives), "mean", "expected", "scores", "picks"]
    rows = [
        [
            point.candidate.label or str(point.candidate.number),
            *map(_plus_minus, point.estimate.objectives),
            f"{point.estimate.mean:.3f}",
            f"{point.likely.mean:.3f}",
            rests_on,
            ", ".join(front.picks.of(point.candidate.number)),
        ]
        for point, rests_on in zip(points, _rests_on(estimates), strict=True)
    ]
    if any(paths):
        return [*header, "layers"], [[*row, path] for row, path in zip(rows, paths, strict=True)]
    return header, rows


def held_out_cells(verification: Verification) -> Cells:
    """Return a row for each model on test items: parents, baselines, candidates; then what the search bought.

    That is the winner's difference to the best recipe that costs no search; the last row, where there is one.
    """
    objectives = map(_title, verification.rows[0].objectives)
    header = ["model", *objectives, "mean", f"difference to {verification.best_parent} (95 % interval)"]
    return header, [
        [_name(row, verification), *map(_plus_minus, row.objectives), f"{row.mean:.3f}", _difference(row)]
        for row in verification.rows
    ] + _bought(verification)


def against_cells(verification: Verification) -> list[list[str]]:
    """Return a row for each winner and what it is compared with: the best parent and every baseline.

    Cells are differences, of each objective and of the mean, with their 95 % intervals.
    """
    return [
        [
            f"candidate {winner.candidate} less {other.name}",
            *(
                _interval(d, cost)
                for d, cost in zip(other.objectives, winner.costs or (None,) * len(other.objectives), strict=True)
            ),
            _interval(other.mean),
        ]
        for winner in verification.winners
        for place, other in enumerate(winner.comparisons)
        if place == 0 or other.kind == "baseline"
    ]


def _bought(verification: Verification) -> list[list[str]]:
    winner = verification.winner_of(verification.winner)
    if winner is None or winner.bought is None:
        return []
    recipe = winner.bought.recipe
    over = next(compared for compared in winner.comparisons if compared.name == recipe)
    row = next(row for row in verification.rows if row.candidate == winner.candidate)
    by_objective = [shown(d.value, o.cost, sign=True) for d, o in zip(over.objectives, row.objectives, strict=True)]
    return [[f"{row.name} over {recipe}", *by_objective, f"{over.mean.value:+.3f}", _interval(over.mean)]]


def _name(row: Row, verification: Verification) -> str:
    picked = verification.winner_of(row.candidate)
    name = row.name if picked is None else f"{row.name} ({', '.join(picked.picks)})"
    return f"{name} (best start point)" if is_start_point(row.name) else name


def _rests_on(estimates: Sequence[Estimate]) -> list[str]:
    """Return what each estimate rests on; where some were scored on more items than others, on how many."""
    sizes = [estimate.n_items for estimate in estimates]
    if len(set(sizes)) == 1:
        return [estimate.in_words for estimate in estimates]
    return [e.in_words if e.kind == "estimated" else f"{n} items" for e, n in zip(estimates, sizes, strict=True)]


def _path(recipe: Recipe) -> str:
    return "; ".join(part for part in (path_text(recipe), scales_text(recipe)) if part)


def _plus_minus(objective: ObjectiveEstimate) -> str:
    value = shown(objective.value, objective.cost)
    return value if is_exact(objective.cost) else f"{value} ± {shown_error(objective.stderr, objective.cost)}"


def _title(objective: ObjectiveEstimate) -> str:
    return titled(objective.name, objective.cost)


def _difference(row: Row) -> str:
    d = row.difference
    return "the best parent" if d is None else _interval(d)


def _interval(d: Difference, cost: Cost | None = None) -> str:
    if is_exact(cost):
        return shown(d.value, cost, sign=True)
    ends = (d.low, d.high) if cost is None else (d.high, d.low)
    low, high = (shown(end, cost, sign=True) for end in ends)
    return f"{shown(d.value, cost, sign=True)} ({low} to {high})"
