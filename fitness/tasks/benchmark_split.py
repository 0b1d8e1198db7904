"""Which split of its dataset an lm-eval task draws its items from, and whether that is a benchmark's own test set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fitness.errors import FitnessError

# What `datasets.load_dataset` reads files with: the data are whoever's who wrote the files.
_FILE_READERS = frozenset({"arrow", "csv", "json", "pandas", "parquet", "sql", "text", "webdataset", "xml"})


@dataclass(frozen=True)
class PublishedTestSet:
    """A benchmark's own test set, as what a task draws its items from."""

    name: str  # split and dataset, in words
    others: tuple[str, ...]  # splits of the dataset that the task's definition names besides


def published_test_set(task: Any) -> PublishedTestSet | None:
    """Return the test split of a published dataset that lm-eval's task draws its items from; None where it does not.

    Local files and directories and datasets that a function makes are the user's own. A benchmark without a test
    split, which lm-eval scores on its validation split, has no test set to protect.
    """
    config = task.config
    split = config.test_split
    if split is None or not _is_published(config, getattr(task, "DATASET_PATH", None)):
        return None
    path = config.dataset_path or task.DATASET_PATH
    name = f" ({config.dataset_name})" if config.dataset_name else ""
    named = [config.validation_split, config.training_split]
    others = tuple(other for other in named if other is not None and other != split)
    return PublishedTestSet(f"split {split!r} of {path}{name}", others)


def draw_from(task: Any, split: str) -> None:
    """Let lm-eval's task draw its items from another split of its dataset; no item is its own few-shot example."""
    known = sorted(task.dataset)
    if split not in known:
        raise FitnessError(f"task {task.task_name!r}: expected one of its splits {known} after @, found {split!r}")
    config, fewshot = task.config, task.fewshot_cfg
    if fewshot.split is None:  # lm-eval's rule, said aloud: it leaves items out of their own examples by this name
        fewshot.split = config.training_split or config.validation_split or config.test_split
    task.set_config(key="test_split", value=split)


def _is_published(config: Any, path: str | None) -> bool:
    path = config.dataset_path or path
    if path is None or callable(config.custom_dataset) or Path(path).exists():
        return False
    if path in _FILE_READERS:
        files = _texts((config.dataset_kwargs or {}).get("data_files"))
        return any("://" in file and not file.startswith("file://") for file in files)
    return True


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _texts(part)
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from _texts(part)
