"""One candidate in full: its objectives beside the best parent's, tasks, recipe, genes over depth."""

from __future__ import annotations

from typing import Any

import numpy as np

from evomerge.archive import Archive
from evomerge.results.genes import NotedGenes
from evomerge.results.pages.snapshot import Snapshot, number, shown
from evomerge.results.pages.table import operators
from evomerge.results.report.details import task_scores
from evomerge.results.report.gene_map import GeneMap, depth, gene_maps, path_maps, piece_maps
from evomerge.results.work import in_words
from fitness.scores import SPLITS
from search_spaces.recipes.layer_path import path_text
from search_spaces.recipes.recipe import Recipe


def detail(snapshot: Snapshot, archive: Archive, of: int) -> dict[str, Any]:
    """Return everything that is known of a candidate; ArchiveError where there is none."""
    candidate, contents = archive.candidate(of), snapshot.contents
    record = snapshot.records.get(of)
    i, parent = contents.scored.index(of), contents.best_parent
    splits = {}
    for split in SPLITS:
        scores = archive.scores(of, split)
        if scores is not None:
            tasks = [
                {"task": t.task, "mean": number(t.mean), "stderr": number(t.stderr), "items": t.n_items}
                for t in task_scores(scores)
            ]
            held = contents.held_out.get(split, {}).get(of) if split != "search" else None
            splits[split] = {"tasks": tasks, "objectives": [] if held is None else [shown(o) for o in held.objectives]}
    expected = contents.expected.get(of)
    return {
        "number": of,
        "title": contents.title(of),
        "label": contents.labels.get(of, ""),
        "state": snapshot.state(of),
        "marks": snapshot.marks.get(of, []),
        "operators": operators(candidate.recipe),
        "objectives": [] if i is None else [shown(o) for o in contents.scored.estimates[i].objectives],
        "mean": None if i is None else number(float(contents.scored.means[i])),
        "expected": None if expected is None else number(expected.mean),
        "parent": None
        if parent is None
        else {
            "name": contents.title(int(contents.scored.numbers[parent])),
            "number": int(contents.scored.numbers[parent]),
            "objectives": [shown(o) for o in contents.scored.estimates[parent].objectives],
            "mean": number(float(contents.scored.means[parent])),
        },
        "splits": splits,
        "seconds": None if record is None else number(record.seconds),
        "work": in_words(works[-1][1]) if (works := archive.works(of)) else "",
        "failure": None if record is None or record.estimate is not None else _failure(record),
        "recipe": candidate.recipe.to_dict(),
        "path": path_text(candidate.recipe),
        "maps": maps_of(candidate.recipe),
        "genes": _values(snapshot.genes, candidate.genome),
    }


def maps_of(recipe: Recipe) -> list[dict[str, Any]]:
    """Return a recipe's numbers over depth: rows of parents and modules, columns of layers."""
    n_layers = depth([recipe])
    found = [*path_maps(recipe), *piece_maps(recipe), *gene_maps(recipe, n_layers)]
    return [_as_data(one) for one in found]


def _as_data(found: GeneMap) -> dict[str, Any]:
    return {
        "parameter": found.parameter,
        "rows": list(found.rows),
        "columns": [{"label": c.label, "layers": c.layers and list(c.layers)} for c in found.columns],
        "values": [[number(float(v)) if np.isfinite(v) else None for v in row] for row in found.values],
        "operators": found.operators.tolist(),
        "axis": found.axis,
    }


def _failure(record: Any) -> dict[str, Any]:
    return {"stage": record.stage, "reason": record.reason, "traceback": (record.traceback or "")[-8000:]}


def _values(genes: NotedGenes, genome: object) -> dict[str, Any]:
    values = genes.values(genome)
    return {name: number(float(v)) if isinstance(v, int | float) else str(v) for name, v in values.items()}
