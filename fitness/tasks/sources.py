"""From what a campaign file names to tasks: task files, lm-eval YAML files and lm-eval task names."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from fitness.engine.plain import PlainLanguageModel
from fitness.engine.tokenizer import load_tokenizer
from fitness.errors import FitnessError
from fitness.scores import Split
from fitness.splits import Splits
from fitness.tasks.jsonl import load_jsonl
from fitness.tasks.suite import ScorableTask, TaskSuite


def load_tasks(
    sources: Sequence[str], *, directory: str | Path = ".", include_path: str | Path | None = None
) -> dict[str, tuple[ScorableTask, ...]]:
    """Load the tasks that each source names.

    A source is a path ending in `.jsonl` (a task file), a path ending in `.yaml` or `.yml` (an lm-eval task or group)
    or the name of an lm-eval task, group or tag. `:METRIC` may follow what lm-eval loads.

    Args:
        sources: what to load; a source that is named twice is loaded once.
        directory: relative paths start here.
        include_path: folder with lm-eval task definitions of one's own, found by name.

    Returns:
        Source -> its tasks: several for groups and tags, else one.

    Raises:
        FitnessError: some sources cannot be loaded (all of them are reported at once), or two tasks have one name.
    """
    loaded: dict[str, tuple[ScorableTask, ...]] = {}
    errors: list[str] = []
    for source in dict.fromkeys(sources):
        try:
            loaded[source] = _load(source, Path(directory), None if include_path is None else Path(include_path))
        except FitnessError as error:
            errors.append(str(error))
    if errors:
        raise FitnessError("\n".join(errors))
    source_of: dict[str, str] = {}
    for source, tasks in loaded.items():
        for task in tasks:
            if task.name in source_of:
                raise FitnessError(
                    f"tasks: expected unique names, found {task.name!r} in {source_of[task.name]!r} and in {source!r}"
                )
            source_of[task.name] = source
    return loaded


def _load(source: str, directory: Path, include_path: Path | None) -> tuple[ScorableTask, ...]:
    path = directory / Path(source).expanduser()
    if path.suffix == ".jsonl":
        return (load_jsonl(path),)
    from fitness.tasks.lm_eval_tasks import load_lm_eval_tasks

    name, _, metric = source.partition(":")
    file = directory / Path(name).expanduser()
    if file.suffix in (".yaml", ".yml"):
        return load_lm_eval_tasks(file, metric=metric or None, include_path=include_path)
    if file.exists() or os.sep in name:
        raise FitnessError(
            f"task {source!r}: expected a file ending in .jsonl or .yaml, or the name of an lm-eval task, found "
            + (f"{file}" if file.exists() else "no such file")
        )
    return load_lm_eval_tasks(name, metric=metric or None, include_path=include_path)


def make_suite(
    tasks: Sequence[ScorableTask],
    *,
    tokenizer_dir: str | Path,
    shares: Mapping[Split, float],
    seed: int,
    token_budget: int = 4096,
) -> TaskSuite:
    """Split the tasks' items, and make the fitness that scores them with plain batches, all items ready.

    Args:
        tasks: see `load_tasks`.
        tokenizer_dir: a checkpoint whose tokenizer and length limit all models share.
        shares: split -> share of each task's items.
        seed: the campaign's.
        token_budget: most tokens of a batch.

    Raises:
        FitnessError: see `Splits.draw`, `load_tokenizer` and `TaskSuite.prepare`.
    """
    splits = Splits.draw({task.name: task.item_ids for task in tasks}, shares=shares, seed=seed)
    language_model = PlainLanguageModel(load_tokenizer(tokenizer_dir), token_budget=token_budget)
    suite = TaskSuite(tasks, splits=splits, language_model=language_model)
    for split, items in splits.items.items():
        if items:
            suite.prepare(split)
    return suite
