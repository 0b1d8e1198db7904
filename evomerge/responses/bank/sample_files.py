"""What lm-eval writes with `--log_samples`: DIRECTORY/MODEL/samples_TASK_DATE.jsonl, a line for each document."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from evomerge.content import content_of
from evomerge.responses.bank.bank import Answers, ItemKey
from fitness.errors import FitnessError
from fitness.tasks.contents import content, digest_of

_NAME = re.compile(r"samples_(?P<task>.+?)(_\d{4}-\d\d-\d\dT[\d\-:.]+)?")
_DEEPEST_NUMBER = 1e6


def sample_files(directory: Path) -> list[Path]:
    """Return the files of a directory and those under it, later ones of a model and task last."""
    return sorted(directory.rglob("samples_*.jsonl"))


def add_samples(path: Path, answers: Answers) -> None:
    """Add the answers of one file: the model is called as the directory is, the task as the file."""
    named = _NAME.fullmatch(path.stem)
    task, model = named["task"] if named else "", path.resolve().parent.name
    try:
        text = content_of(path).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise FitnessError(f"{path}: expected a readable file of samples, found: {error}") from error
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise FitnessError(f"{path}:{number}: expected a JSON object, found broken JSON: {error}") from error
        if not isinstance(record, dict) or "doc_id" not in record:
            raise FitnessError(
                f"{path}:{number}: expected a line of lm-eval's --log_samples, with doc_id, found another form of JSON"
            )
        key = ItemKey(str(record["doc_id"])[:200], task, content_of_record(record))
        answers.add(model, key, dict(measures(record)))


def measures(record: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Yield measure -> score: those that a record says are its metrics, or else every number of it that may be one."""
    said = record.get("metrics")
    nested = said if isinstance(said, Mapping) else {}
    names = [name for name in said if isinstance(name, str)] if isinstance(said, list) else list(record)
    pipeline = record.get("filter")
    for name, value in (*((n, record.get(n)) for n in names if n != "doc_id"), *nested.items()):
        if isinstance(value, bool | int | float) and math.isfinite(value) and abs(value) <= _DEEPEST_NUMBER:
            if isinstance(pipeline, str) and pipeline != "none":
                yield f"{name},{pipeline}", float(value)
            yield str(name), float(value)


def content_of_record(record: Mapping[str, Any]) -> str:
    """Return the digest of what a document asks, as the engine was asked: a prompt, or a question with its choices."""
    asked = [pair for pair in _arguments(record.get("arguments")) if pair and isinstance(pair[0], str)]
    if not asked:
        return ""
    if len(asked) > 1 and all(len(pair) > 1 and isinstance(pair[1], str) and pair[0] == asked[0][0] for pair in asked):
        return digest_of(content("choice", asked[0][0], [pair[1] for pair in asked]))
    if len(asked) == 1:
        return digest_of(content("prompt", asked[0][0]))
    return ""


def _arguments(said: object) -> list[list[Any]]:
    if isinstance(said, Mapping):  # {"gen_args_0": {"arg_0": context, "arg_1": continuation}}
        return [list(one.values()) for one in said.values() if isinstance(one, Mapping)]
    return [list(one) for one in said if isinstance(one, list)] if isinstance(said, list) else []
