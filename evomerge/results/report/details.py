"""What the page shows of one candidate when it is picked: scores per objective and task, recipe, genes over depth."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from evomerge.archive import Archive
from evomerge.campaign.start_points import is_start_point
from evomerge.results.report.contents import Contents
from evomerge.results.report.gene_map import GeneMap, depth, gene_figure, gene_maps, path_maps, piece_maps
from evomerge.results.report.marks import Figure
from fitness.costs import cost_of_task, is_exact, natural
from fitness.estimation import TaskLayout
from fitness.scores import ItemScores
from search_spaces.recipes.recipe import Recipe

# However large the campaign, a page stays a few megabytes beside the plotting library.
EMBEDDED_CANDIDATES = 200


@dataclass(frozen=True)
class TaskScore:
    """A candidate's mean score over the items of one task."""

    task: str  # what stands before the last slash of the items' ids
    mean: float  # of a cost as it is
    stderr: float  # standard error of the mean over the items (see `TaskLayout.moments`)
    n_items: int


def task_scores(scores: ItemScores) -> list[TaskScore]:
    """Return the mean of each task, in order of first appearance."""
    values: dict[str, list[float]] = {}
    for item, value in zip(scores.item_ids, scores.values.tolist(), strict=True):
        values.setdefault(item.rpartition("/")[0] or item, []).append(value)
    found = []
    for task, of_task in values.items():
        n = len(of_task)
        exact = np.array([is_exact(cost_of_task(task))])
        layout = TaskLayout(np.zeros(n, dtype=np.intp), np.array([float(n)]), np.ones((1, 1)), exact)
        (mean,), (variance,) = layout.moments(np.array(of_task))
        found.append(TaskScore(task, natural(float(mean), cost_of_task(task)), float(np.sqrt(variance / n)), n))
    return found


def embedded(contents: Contents) -> list[int]:
    """Return the numbers of the candidates worth a full record, the most interesting first, each once."""
    return list(dict.fromkeys(by_interest(contents)))[:EMBEDDED_CANDIDATES]


def candidate_marks(contents: Contents) -> dict[int, list[str]]:
    """Return what distinguishes candidates, in words."""
    scored, verification = contents.scored, contents.verification
    marks: dict[int, list[str]] = {}

    def mark(number: int, text: str) -> None:
        marks.setdefault(number, []).append(text)

    if verification is not None:
        picked = {winner.candidate: winner.wins for winner in verification.winners}
        for number, wins in (picked or {verification.winner: verification.wins}).items():
            mark(number, "verified winner" if wins else f"picked on {verification.chosen_on} items")
    for landmark in contents.landmarks:
        start = "best start point" if is_start_point(landmark.label) else "baseline"
        mark(landmark.number, "parent" if landmark.number in contents.parents else start)
    for number, stop in zip(scored.numbers.tolist(), scored.stops, strict=True):
        if stop is not None:
            mark(number, f"stopped after {stop.n_items} items")
    for pick, number in contents.picks.chosen.items():
        if pick != "winner":
            mark(number, {"best": "best mean"}.get(pick, pick))
    for number in scored.numbers[scored.front].tolist() if scored.several else ():
        mark(number, "on the front")
    return marks


def gene_figures(archive: Archive, contents: Contents, number: int | None = None) -> list[Figure]:
    """Return one candidate's heat maps, without a number those of the candidate that the page opens with."""
    shown = embedded(contents)
    if number is None and not shown:
        return []
    chosen = shown[0] if number is None else number
    recipes = {n: archive.candidate(n).recipe for n in dict.fromkeys([chosen, *shown])}
    title = html.escape(contents.title(chosen))
    found = [gene_figure(genes, limits) for genes, limits in _maps(recipes)[chosen]]
    return [figure | {"name": f"{figure['name']} · {title}"} for figure in found]


def _maps(recipes: Mapping[int, Recipe]) -> dict[int, list[tuple[GeneMap, tuple[float, float]]]]:
    """Return each candidate's maps with their parameters' ranges over all; those that never vary are left out."""
    n_layers = depth(list(recipes.values()))
    maps = {
        number: [*path_maps(recipe), *piece_maps(recipe), *gene_maps(recipe, n_layers)]
        for number, recipe in recipes.items()
    }
    ends: dict[str, list[float]] = {}
    for genes in (genes for found in maps.values() for genes in found):
        ends.setdefault(genes.parameter, []).extend((float(np.nanmin(genes.values)), float(np.nanmax(genes.values))))
    ranges = {p: (min(v), max(v)) for p, v in ends.items() if min(v) < max(v) or p == "weight"}
    return {n: [(m, ranges[m.parameter]) for m in found if m.parameter in ranges] for n, found in maps.items()}


def by_interest(contents: Contents) -> Iterator[int]:
    """Yield the numbers of scored candidates, the most interesting first, some more than once."""
    scored = contents.scored
    yield from (n for pick in ("winner", "knee", "best") if (n := contents.picks.get(pick)) is not None)
    if contents.verification is not None:
        yield from (row.candidate for row in contents.verification.rows)
    yield from (c.number for c in contents.landmarks if scored.index(c.number) is not None)
    if len(scored.numbers):
        yield from scored.numbers[np.argmax(scored.values, axis=0)].tolist()
        yield from scored.numbers[sorted(scored.front, key=lambda i: -scored.means[i])].tolist()
        yield from scored.numbers[np.argsort(-scored.means, kind="stable")].tolist()
