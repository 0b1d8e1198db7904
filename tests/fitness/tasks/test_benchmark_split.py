"""Which lm-eval tasks draw their items from a benchmark's own test set, and drawing them from another split."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fitness.errors import FitnessError
from fitness.tasks.benchmark_split import PublishedTestSet, published_test_set
from fitness.tasks.lm_eval_tasks import LMEvalOptions, load_definitions, load_lm_eval_tasks
from tests.fitness.conftest import arithmetic, write_jsonl
from tests.fitness.tasks.test_lm_eval_tasks import CHOICE, MEAN, write_task

METRIC = {"metric_list": [{"metric": "acc", **MEAN}]}


def write_benchmark(folder: Path, **config: Any) -> Path:
    lines = arithmetic(30)
    parts = {"train": lines[:10], "validation": lines[10:18], "test": lines[18:]}
    files = {split: str(write_jsonl(folder / f"{split}.json", part)) for split, part in parts.items()}
    kwargs = {"data_files": files, "cache_dir": str(folder / "cache")}
    splits = {"training_split": "train", "validation_split": "validation"}
    return write_task(folder, dataset_kwargs=kwargs, **{**CHOICE, **METRIC, **splits, **config})


def definition(path: Path, **changes: Any) -> Any:
    (task,) = load_definitions(path)["tasks"].values()
    for key, value in changes.items():
        task.set_config(key=key, value=value)
    return task


def test_the_test_split_of_a_dataset_on_the_hub_is_a_benchmarks_own(tmp_path: Path) -> None:
    path = write_benchmark(tmp_path)
    found = published_test_set(definition(path, dataset_path="allenai/ai2_arc", dataset_name="ARC-Easy"))
    assert found == PublishedTestSet("split 'test' of allenai/ai2_arc (ARC-Easy)", ("validation", "train"))


def test_so_are_files_from_the_network(tmp_path: Path) -> None:
    files = {"test": ["https://example.org/test.jsonl"]}
    found = published_test_set(definition(write_benchmark(tmp_path), dataset_kwargs={"data_files": files}))
    assert found is not None


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"dataset_path": "."},
        {"dataset_path": "allenai/ai2_arc", "test_split": None},
        {"dataset_path": "allenai/ai2_arc", "custom_dataset": lambda: {}},
        {"dataset_kwargs": {"data_files": {"test": "file:///home/me/test.jsonl"}}},
    ],
)
def test_local_data_functions_and_validation_splits_are_not(tmp_path: Path, changes: dict[str, Any]) -> None:
    assert published_test_set(definition(write_benchmark(tmp_path), **changes)) is None


def test_items_can_come_from_another_split(tmp_path: Path) -> None:
    path = write_benchmark(tmp_path)
    (usual,) = load_lm_eval_tasks(path)
    (other,) = load_lm_eval_tasks(path, metric="acc", options=LMEvalOptions(split="validation"))
    assert (len(usual.item_ids), len(other.item_ids)) == (12, 8)
    assert other.name == "tiny@validation:acc"
    assert arithmetic(30)[10]["question"] in str(other.requests("0")[0])


def test_an_item_is_never_its_own_few_shot_example(tmp_path: Path) -> None:
    path = write_benchmark(tmp_path, num_fewshot=8)
    (task,) = load_lm_eval_tasks(path, options=LMEvalOptions(split="train"))
    questions = [line["question"] for line in arithmetic(30)[:10]]
    for item, question in zip(task.item_ids, questions, strict=True):
        prompt = task.requests(item)[0].context
        assert prompt.count(question) == 1
        assert prompt.endswith(question)


def test_a_split_that_is_not_there_is_an_error_that_lists_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(FitnessError, match=r"'tiny': expected one of its splits \['test', 'train', 'validation'\]"):
        load_lm_eval_tasks(write_benchmark(tmp_path), options=LMEvalOptions(split="dev"))
