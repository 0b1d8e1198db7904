"""Reading a bank's file, whatever it is."""

from __future__ import annotations

import hashlib
import math
import re
from pathlib import Path

from evomerge.responses.bank.bank import Answers, Bank, ItemKey
from evomerge.responses.bank.leaderboards import add_results, columns_of
from evomerge.responses.bank.parameter_file import is_parameter_file, read_parameters, read_rows
from evomerge.responses.bank.sample_files import add_samples, sample_files
from evomerge.responses.files import read_matrix
from fitness.errors import FitnessError
from fitness.reduction.response_matrix import ResponseMatrix
from search_spaces.errors import SpaceError
from search_spaces.parents.content import file_digest

SAMPLES, RESULTS, MATRIX, PARAMETERS = "lm-eval's samples", "per-sample results", "a response matrix", "item parameters"
_TASK = re.compile(r"(?P<task>[^=/\\]+)=(?P<path>.+)", re.DOTALL)
SCORE = "score"  # the measure of a file that has but one


def read_bank(said: str) -> Bank:
    """Read a bank of `FILE`, or of `TASK=FILE` where all of it belongs to one of the campaign's tasks.

    Raises:
        FitnessError: there is no such file, or it is nothing that is known.
    """
    named = _TASK.fullmatch(said) if not Path(said).exists() else None
    task, path = (named["task"], Path(named["path"])) if named else ("", Path(said))
    if path.is_dir():
        return _directory(path, task)
    if not path.exists():
        raise FitnessError(
            f"{path}: expected a bank (CSV, JSON, JSONL, Parquet, or a directory of them), found nothing"
        )
    match path.suffix:
        case ".jsonl":
            return _gathered(path, [path], task, SAMPLES)
        case ".parquet":
            names = columns_of(path)
            if {"model", "item", "score"} <= set(names) or ("model" in names and any("/" in n for n in names)):
                return _of_matrix(path, task, read_matrix(path))
            return _gathered(path, [path], task, RESULTS)
        case ".csv":
            return _csv(path, task)
        case ".json":
            return _of_matrix(path, task, read_matrix(path))
    raise FitnessError(f"{path}: expected a name ending in .csv, .json, .jsonl or .parquet, found {path.suffix!r}")


def _directory(path: Path, task: str) -> Bank:
    if samples := sample_files(path):
        return _gathered(path, samples, task, SAMPLES)
    files = sorted(path.rglob("*.parquet"))
    if not files:
        raise FitnessError(f"{path}: expected samples_*.jsonl or *.parquet in this directory, found neither")
    if {"model", "item", "score"} <= set(columns_of(files[0])):
        return _of_matrix(path, task, read_matrix(path))
    return _gathered(path, files, task, RESULTS)


def _gathered(path: Path, files: list[Path], task: str, kind: str) -> Bank:
    answers = Answers(path)
    for file in files:
        (add_samples if kind == SAMPLES else add_results)(file, answers)
    return answers.bank(kind, task, _digest(files))


def _csv(path: Path, task: str) -> Bank:
    rows = read_rows(path)
    if is_parameter_file(rows[0]):
        keys, parameters = read_parameters(path, rows)
        return Bank(path, PARAMETERS, task, keys, parameters, digest=_digest([path]))
    if "model" in rows[0]:
        return _of_matrix(path, task, read_matrix(path))
    # As pandas writes a frame: models in the first column, which has no name or any.
    answers = Answers(path)
    for row in rows[1:]:
        for name, cell in zip(rows[0][1:], row[1:], strict=True):
            score = _number(cell, path, row[0], name)
            if not math.isnan(score):
                answers.add(row[0][:200], ItemKey(name[:200]), {SCORE: score})
    return answers.bank(MATRIX, task, _digest([path]))


def _number(cell: str, path: Path, model: str, item: str) -> float:
    if cell.strip().lower() in ("", "na", "nan", "none"):
        return math.nan
    try:
        return {"true": 1.0, "false": 0.0}.get(cell.lower()) or float(
            {"true": "1", "false": "0"}.get(cell.lower(), cell)
        )
    except ValueError:
        raise FitnessError(
            f"{path}, model {model[:60]!r}, item {item[:60]!r}: expected a number, or the columns a1, d (g, u) of item "
            f"parameters, found {cell[:60]!r}"
        ) from None


def _of_matrix(path: Path, task: str, matrix: ResponseMatrix) -> Bank:
    answers = Answers(path)
    for model, row in zip(matrix.models, matrix.scores.tolist(), strict=True):
        for item, score in zip(matrix.items, row, strict=True):
            if not math.isnan(score):
                of, slash, rest = item.partition("/")
                key = ItemKey(rest, of) if slash and not task else ItemKey(item)
                answers.add(model, key, {SCORE: score})
    return answers.bank(MATRIX, task, _digest([path] if path.is_file() else sorted(path.glob("*.parquet"))))


def _digest(files: list[Path]) -> str:
    try:
        found = hashlib.sha256("".join(file_digest(file) for file in files).encode())
    except SpaceError as error:
        raise FitnessError(str(error)) from error
    return found.hexdigest()
