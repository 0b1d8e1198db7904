"""Per-sample results of leaderboards: Parquet with a row for each answer, columns found by their names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evomerge.errors import require
from evomerge.responses.bank.bank import MOST_ANSWERS, Answers, ItemKey
from evomerge.responses.bank.sample_files import measures
from fitness.errors import FitnessError

MODEL = ("model", "model_name", "model_id", "model_sha")
TASK = ("task", "task_name", "benchmark", "subset", "dataset")
ITEM = ("item", "item_id", "doc_id", "question_id", "sample_id", "example_id", "id", "idx")
SCORE = (
    *("score", "acc", "acc_norm", "exact_match", "em", "correct", "is_correct"),
    *("prompt_level_strict_acc", "inst_level_strict_acc", "mc1", "mc2", "pass@1", "metrics"),
)
_MOST_BYTES = 2**31


def columns_of(path: Path) -> list[str]:
    """Return the names of a Parquet file's columns."""
    return list(_opened(path).schema_arrow.names)


def add_results(path: Path, answers: Answers) -> None:
    """Add the rows of one file; without a column for the model it is called as the file's directory is."""
    file, names = _opened(path), columns_of(path)
    model, task, item = (next((n for n in known if n in names), None) for known in (MODEL, TASK, ITEM))
    scores = [name for name in SCORE if name in names]
    if item is None or not scores:
        lacking = f"an item ({', '.join(ITEM)})" if item is None else f"a score ({', '.join(SCORE)})"
        found = ", ".join(names[:8])
        raise FitnessError(f"{path}: expected a column for {lacking}, found the columns {found[:200]}")
    if file.metadata.num_rows > MOST_ANSWERS:
        raise FitnessError(f"{path}: expected at most {MOST_ANSWERS:,} rows, found {file.metadata.num_rows:,}")
    wanted = [name for name in (model, task, item, *scores) if name is not None]
    try:
        for batch in file.iter_batches(batch_size=65536, columns=wanted):
            columns: dict[str, Sequence[Any]] = {
                n: batch.column(i).to_pylist() for i, n in enumerate(batch.schema.names)
            }
            for row in range(batch.num_rows):
                record = {name: columns[name][row] for name in scores}
                who = path.resolve().parent.name if model is None else str(columns[model][row])[:200]
                of = "" if task is None else str(columns[task][row])[:200]
                answers.add(who, ItemKey(str(columns[item][row])[:200], of), dict(measures(record)))
    except FitnessError:
        raise
    except Exception as error:  # pyarrow's own, whatever is wrong with the bytes
        raise FitnessError(f"{path}: expected Parquet, found something else ({error})") from error


def _opened(path: Path) -> Any:
    require("pyarrow", "lm-eval")
    from pyarrow import parquet

    try:
        if not path.is_file() or path.stat().st_size > _MOST_BYTES:
            raise FitnessError(f"{path}: expected a file of at most {_MOST_BYTES:,} bytes, found another thing")
        return parquet.ParquetFile(path)
    except FitnessError:
        raise
    except Exception as error:
        raise FitnessError(f"{path}: expected Parquet, found something else ({error})") from error
