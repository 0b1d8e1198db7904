"""From what a campaign file names to tasks: the only place that knows what a source stands for."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from fitness.engine.engines import language_model_for
from fitness.engine.model.tokenizer import Tokenizer
from fitness.errors import FitnessError, did_you_mean, shortened
from fitness.protocols import AnyTask
from fitness.scores import SPLITS, Split
from fitness.splits import Drawn, Splits
from fitness.tasks.answer_signals import AnswerSignals
from fitness.tasks.asking import Asking
from fitness.tasks.benchmark_split import PublishedTestSet
from fitness.tasks.contents import contents_of, equal_items
from fitness.tasks.divergence import DivergenceTask, check_memory
from fitness.tasks.groups import GROUP, Groups
from fitness.tasks.items import Task
from fitness.tasks.model_cost import ModelCost
from fitness.tasks.prompts import Prompts, RenderChat
from fitness.tasks.rows import Read, dataset_rows, rows_of
from fitness.tasks.suite import TaskSuite
from fitness.tasks.task_file import task_of
from fitness.tasks.task_source import JS_DIVERGENCE, TaskSource

if TYPE_CHECKING:
    from torch import nn

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class TaskContext:
    """What tasks are loaded with."""

    directory: Path = Path()  # relative paths start here
    include_path: Path | None = None  # folder with lm-eval task definitions of one's own, found by name
    prompts: Prompts = field(default_factory=Prompts)  # how questions become prompts
    tokenizer: Tokenizer | None = None  # of the models to score; None where there is none, or nobody needs it
    # source -> name of the parent that `js_divergence` compares with
    experts: Mapping[str, str] = field(default_factory=dict)
    processor: Callable[[], object] | None = None  # loads what Python tasks of images are handed, always the same
    base: Callable[[], nn.Module] | None = None  # loads the model on which a Python task learns its item ids
    drawn: Drawn = "by_group"  # by_place: items of task files without ids have their line's number
    # source -> the field of its items that groups them; left out: `group` of task files, a known one of lm-eval's
    groups: Mapping[str, str] = field(default_factory=dict)
    # source of rows -> how they become questions; left out: as they say themselves
    asking: Mapping[str, Asking] = field(default_factory=dict)
    run_model_code: bool = False  # whether lm-eval's tasks that run what models write are scored, in a sandbox

    @property
    def render(self) -> RenderChat | None:
        """Renders a chat; None without a chat template."""
        return self.prompts.renderer(self.tokenizer)


def load_tasks(sources: Sequence[str], context: TaskContext | None = None) -> dict[str, tuple[AnyTask, ...]]:
    """Load the tasks that each source names.

    A source is a path ending in `.jsonl`, `.csv`, `.tsv` or `.parquet` (a task file), `hf:` and a dataset, a path
    ending in `.yaml` or `.yml` (an lm-eval task or group), the name of an lm-eval task, group or tag, or
    `python:MODULE:FUNCTION`. `:METRIC` may follow all but the last;
    `@SPLIT` after lm-eval's name takes items from another split of its dataset.

    Args:
        sources: what to load; a source that is named twice is loaded once.
        context: what they are loaded with.

    Returns:
        Source -> its tasks: several for groups and tags, else one.

    Raises:
        FitnessError: some sources cannot be loaded (all of them are reported at once), or two tasks have one name.
    """
    context = context or TaskContext()
    context.prompts.renderer(context.tokenizer)  # what is wrong with a chat template is told once
    loaded: dict[str, tuple[AnyTask, ...]] = {}
    errors: list[str] = []
    for source in dict.fromkeys(sources):
        try:
            loaded[source] = _load(source, context)
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
    context.prompts.check_names(_names_of_lm_eval(loaded))
    return loaded


def _names_of_lm_eval(loaded: Mapping[str, Sequence[AnyTask]]) -> list[str]:
    """Return the names of lm-eval's groups and tasks that were loaded, without metrics and splits."""
    sources = {text: TaskSource.parse(text) for text in loaded}
    theirs = [text for text, source in sources.items() if source.kind in ("yaml", "lm_eval")]
    tasks = [task.name.partition(":")[0].partition("@")[0] for text in theirs for task in loaded[text]]
    return [*dict.fromkeys([*(sources[text].place for text in theirs), *tasks])]


def published_test_sets(loaded: Mapping[str, Sequence[AnyTask]]) -> dict[str, PublishedTestSet]:
    """Return source -> the benchmark's own test set that a task of it draws its items from, for what was loaded."""
    drawn = [(source, getattr(task, "published", None)) for source, tasks in loaded.items() for task in tasks]
    return {source: test_set for source, test_set in drawn if test_set is not None}


def _load(text: str, context: TaskContext) -> tuple[AnyTask, ...]:
    source = TaskSource.parse(text)
    expert = context.experts.get(text)
    if source.wants_expert and expert is None:
        raise FitnessError(
            f"task {text!r}: {JS_DIVERGENCE} compares with an expert; name one in a campaign: "
            "{name: ..., tasks: [...], expert: PARENT}"
        )
    file, group = context.directory / Path(source.place).expanduser(), context.groups.get(text, "")
    match source.kind:
        case "python":
            if group:
                raise FitnessError(
                    f"task {text!r}: expected no field that groups it, found {group!r}; give the function an attribute "
                    "group_of, a mapping of item ids to names of groups"
                )
            return (_python_task(source.at(str(file)) if source.is_file else source, context),)
        case "rows":
            return (_task_of_rows(_Rows(rows_of(file), str(file), file.stem), text, context),)
        case "dataset":
            name, config = source.dataset
            rows = dataset_rows(_local(name, context.directory), config, source.split)
            called = "_".join(part for part in (Path(name).name, config) if part)
            return (_task_of_rows(_Rows(rows, text, called), text, context),)
    from fitness.tasks.lm_eval_tasks import LMEvalOptions, load_lm_eval_tasks

    options = LMEvalOptions(
        context.include_path,
        context.prompts,
        context.render,
        expert,
        source.split,
        group=group,
        run_model_code=context.run_model_code,
    )
    if source.kind == "yaml":
        return load_lm_eval_tasks(file, metric=source.detail or None, options=options)
    if os.path.exists(file) or os.sep in source.place:
        expected = "a file ending in .jsonl, .csv, .parquet or .yaml, or the name of an lm-eval task"
        found = shortened(str(file)) if os.path.exists(file) else "no such file"
        raise FitnessError(f"task {shortened(text)!r}: expected {expected}, found {found}")
    return load_lm_eval_tasks(source.place, metric=source.detail or None, options=options)


def _local(name: str, directory: Path) -> str:
    """Return a dataset's name, or its directory's path where it is one."""
    place = directory / Path(name).expanduser()
    return str(place) if place.is_dir() else name


@dataclass(frozen=True)
class _Rows:
    """Rows, where they lie, and what their task is called."""

    rows: Iterable[tuple[int, Read]]
    place: str
    name: str


def _task_of_rows(given: _Rows, text: str, context: TaskContext) -> Task | DivergenceTask:
    render, expert, metric = context.render, context.experts.get(text), TaskSource.parse(text).detail
    group, asking = context.groups.get(text, GROUP), context.asking.get(text)
    numbered = context.drawn == "by_place"
    read = task_of(given.rows, given.place, given.name, numbered=numbered, group=group, asking=asking)
    frame = partial(context.prompts.frame, render=render)
    items = tuple(item.framed(frame, chat=render is not None) for item in read.items)
    name = f"{given.name}:{metric}" if metric else given.name
    if metric == JS_DIVERGENCE:
        assert expert is not None
        return DivergenceTask(
            name, {i.id: (i.compared(),) for i in items}, expert=expert, asks=read.asks, group_of=read.group_of
        )
    known = (*items[0].metrics, JS_DIVERGENCE)
    if metric and metric not in known:
        hint = did_you_mean(metric, known, "choose one of them")
        raise FitnessError(
            f"{given.place}, metric {metric!r}: expected one of {', '.join(known)}, found another; {hint}"
        )
    return Task(name, items, metric, read.asks, read.group_of)


def _python_task(source: TaskSource, context: TaskContext) -> AnyTask:
    from fitness.tasks.python_callable import PythonTask, code_of, load_function

    module = Path(source.place).stem if source.is_file else source.place
    tokenizer = None if context.tokenizer is None else context.tokenizer.pretrained
    function = load_function(source.place, source.detail)
    name = f"{module}.{source.detail}"
    code = code_of(source.place, source.detail)
    return PythonTask(name, function, tokenizer=tokenizer, base=context.base, processor=context.processor, code=code)


def make_suite(
    tasks: Sequence[AnyTask],
    *,
    tokenizer: Tokenizer | None,
    shares: Mapping[Split, float],
    seed: int,
    memory: int | None = None,
    drawn: Drawn = "by_group",
    tokens: Path | None = None,
    keeps_answers: bool = False,
) -> TaskSuite:
    """Split the tasks' items, and make the fitness that scores them, all items ready.

    Args:
        tasks: see `load_tasks`.
        tokenizer: that all models share; None where no task needs one.
        shares: split -> share of each task's items.
        seed: the campaign's.
        memory: bytes that scoring may take above the model's own; None = 4 GiB on a CPU, what is free on a GPU.
        drawn: by what their splits are drawn, see `Splits`.
        tokens: a directory where token ids of many items are kept for other processes; None = they are not kept.
        keeps_answers: whether scores come with what was answered.

    Raises:
        FitnessError: see `Splits.draw`, `check_memory` and `TaskSuite.prepare`.
    """
    for line in equal_items(tasks):
        _LOG.warning("%s", line)
    asked = [task for task in tasks if not isinstance(task, ModelCost | AnswerSignals)]
    if drawn == "by_place":
        splits = Splits.draw_by_place({task.name: task.item_ids for task in asked}, shares=shares, seed=seed)
    else:
        drawn_by = Groups.of(asked).drawn_by if drawn == "by_group" else {}
        contents = {task.name: contents_of(task) for task in asked}
        splits = Splits.draw(contents, shares=shares, seed=seed, drawn_by=drawn_by)
    exact = [task for task in tasks if isinstance(task, ModelCost)]
    splits = splits.beginning_with({split: [f"{task.name}/{split}" for task in exact] for split in SPLITS})
    signals = [task for task in tasks if isinstance(task, AnswerSignals)]
    splits = splits.with_signals({f"{t.measured.name}/{i}": f"{t.name}/{i}" for t in signals for i in t.item_ids})
    language_model = None if tokenizer is None else language_model_for(tokenizer, memory=memory, tokens=tokens)
    if tokenizer is not None:
        compared = [task for task in tasks if isinstance(task, DivergenceTask)]
        check_memory(compared, splits.item_ids, n_tokens=tokenizer.n_tokens)
    suite = TaskSuite(tasks, splits=splits, language_model=language_model, keeps_answers=keeps_answers)
    for split, items in splits.items.items():
        if items and split != "final":  # which is scored once, if ever
            suite.prepare(split)
    return suite
