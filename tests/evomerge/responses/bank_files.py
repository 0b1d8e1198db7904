"""Answers of public models to a campaign's items, as other projects write them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def write_samples(directory: Path, scores: Floats, task: str, records: Sequence[Mapping[str, Any]]) -> Path:
    """lm-eval 0.4's --log_samples: one directory for each model, one file for each task."""
    for number, row in enumerate(scores):
        folder = directory / f"org__model-{number:02d}"
        folder.mkdir(parents=True, exist_ok=True)
        lines = []
        for record, score in zip(records, row, strict=True):
            if np.isfinite(score):
                said = {
                    **record,
                    "filter": "none",
                    "metrics": ["acc", "acc_norm"],
                    "acc": score,
                    "acc_norm": 1.0 - score,
                }
                lines.append(json.dumps(said))
        (folder / f"samples_{task}_2026-01-02T03-04-05.678901.jsonl").write_text("\n".join(lines) + "\n")
    return directory


def asked(question: str, choices: Sequence[str], number: int) -> dict[str, Any]:
    """A document of multiple choice as such a line has it."""
    arguments = {f"gen_args_{i}": {"arg_0": question, "arg_1": f" {choice}"} for i, choice in enumerate(choices)}
    return {"doc_id": number, "doc": {"query": question}, "arguments": arguments, "doc_hash": "0", "target": "0"}


def write_results(file: Path, scores: Floats, of: str, names: Sequence[object], **columns: str) -> Path:
    """A leaderboard's rows, under the names of columns that are given."""
    import pyarrow
    from pyarrow import parquet

    models, items = np.nonzero(np.isfinite(scores))
    table = {
        columns.get("model", "model_name"): [f"org/model-{m}" for m in models],
        columns.get("task", "task"): [of] * len(models),
        columns.get("item", "doc_id"): [names[i] for i in items],
        columns.get("score", "acc"): scores[models, items],
        "a text that is not read": ["x" * 50] * len(models),
    }
    parquet.write_table(pyarrow.table(table), file)
    return file


def write_parameters(file: Path, names: Sequence[str], a: Floats, d: Floats, g: Floats, u: Floats) -> Path:
    """As R writes mirt's coefficients with row names, and ATLAS publishes them."""
    rows = [f'"{name}",{x},{y},{z},{w}' for name, x, y, z, w in zip(names, a, d, g, u, strict=True)]
    file.write_text("\n".join(['"X","a1","d","g","u"', *rows]) + "\n")
    return file
