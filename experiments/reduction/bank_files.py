"""Answers of known merges as public files would have them: mirt's CSV, lm-eval's samples, a leaderboard's Parquet."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from fitness import ResponseMatrix
from fitness.estimation.response_model import fit
from fitness.reduction.response_matrix import TaskItems


def write_parameters(directory: Path, matrix: ResponseMatrix, tasks: TaskItems) -> list[str]:
    """Write one file for each task, a one-dimensional 2PL of its own as ATLAS has it; returns what --bank takes."""
    directory.mkdir(parents=True, exist_ok=True)
    said = []
    for task, items in zip(tasks.names, tasks.items, strict=True):
        found = fit(matrix.scores[:, items]).items
        lines = ['"X","a1","d","g","u"']
        for item, a, d in zip(items, found.discriminations[:, 0], found.intercepts, strict=True):
            lines.append(f'"{matrix.items[item].partition("/")[2]}",{a},{d},0,1')
        (directory / f"{task}.csv").write_text("\n".join(lines) + "\n")
        said.append(f"{task}={directory / f'{task}.csv'}")
    return said


def write_samples(directory: Path, matrix: ResponseMatrix, tasks: TaskItems) -> list[str]:
    """Write what `lm-eval --log_samples` would have written for every model and task."""
    for model, row in zip(matrix.models, matrix.scores, strict=True):
        folder = directory / model.replace(" ", "_")
        folder.mkdir(parents=True, exist_ok=True)
        for task, items in zip(tasks.names, tasks.items, strict=True):
            lines = [
                json.dumps(
                    {
                        "doc_id": matrix.items[item].partition("/")[2],
                        "filter": "none",
                        "metrics": ["acc"],
                        "acc": float(row[item]),
                    }
                )
                for item in items
            ]
            (folder / f"samples_{task}_2026-11-30T00-00-00.jsonl").write_text("\n".join(lines) + "\n")
    return [str(directory)]


def write_results(directory: Path, matrix: ResponseMatrix, tasks: TaskItems) -> list[str]:
    """Write per-sample results in one Parquet file."""
    import pyarrow
    from pyarrow import parquet

    def column(which: int) -> Iterator[str]:
        for item in matrix.items:
            yield item.partition("/")[0 if which == 0 else 2]

    directory.mkdir(parents=True, exist_ok=True)
    n = len(matrix.models)
    table = {
        "model_name": np.repeat(matrix.models, len(matrix.items)),
        "task": list(column(0)) * n,
        "question_id": list(column(1)) * n,
        "is_correct": matrix.scores.ravel() > 0.5,
    }
    parquet.write_table(pyarrow.table(table), directory / "results.parquet")
    del tasks
    return [str(directory / "results.parquet")]
