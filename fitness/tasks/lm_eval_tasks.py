"""lm-eval's tasks, item by item: prompts, few-shot examples, filters and metrics are lm-eval's.

Follows `lm_eval.evaluator.evaluate` (0.4.13), which only yields whole tasks: build all requests, answer those of the
wanted items, filter the responses, ask the task for the item's metrics.
"""

from __future__ import annotations

import contextlib
import difflib
import functools
import hashlib
import io
import logging
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from fitness.engine.language_model import Answer, Request
from fitness.errors import FitnessError, require, shortened
from fitness.tasks.benchmark_split import PublishedTestSet, draw_from, published_test_set
from fitness.tasks.divergence import DivergenceTask
from fitness.tasks.lm_eval_code import code_of
from fitness.tasks.lm_eval_groups import groups_of_documents
from fitness.tasks.lm_eval_metrics import Measure, choose_measure, margin_of
from fitness.tasks.lm_eval_requests import compared, content_of, n_repeats, request_of
from fitness.tasks.model_code.of_lm_eval import CODE_EVAL, RUNS_CODE, call_in_sandbox, trying_examples
from fitness.tasks.prompts import Prompts, RenderChat
from fitness.tasks.task_source import JS_DIVERGENCE

# `datasets`, until its version 4, asks whether a data set's script may be run; no script is.
os.environ.setdefault("HF_DATASETS_TRUST_REMOTE_CODE", "0")
log = logging.getLogger(__name__)
_FEWSHOT_SEED = 1234  # lm-eval's default, so that few-shot examples are the usual ones


@dataclass(frozen=True)
class LMEvalOptions:
    """How lm-eval's tasks are loaded."""

    include_path: Path | None = None  # folder with further task definitions; by default the YAML file's
    prompts: Prompts = field(default_factory=Prompts)  # how questions become prompts
    render: RenderChat | None = None  # renders a chat; None without a chat template
    expert: str | None = None  # name of the parent that `js_divergence` compares with; None where it is not asked for
    split: str = ""  # of the tasks' datasets that items come from; empty for each task's own
    group: str = ""  # field of the documents that groups them; empty for one that is known to
    run_model_code: bool = False  # whether tasks that run what models write are scored, in a sandbox


def load_lm_eval_tasks(
    source: str | Path, *, metric: str | None = None, options: LMEvalOptions = LMEvalOptions()
) -> tuple[LMEvalTask | DivergenceTask, ...]:
    """Load an lm-eval task, or all tasks of a group or tag, by name or from a YAML file's Path.

    `metric` is as in `choose_measure`, or `js_divergence`.
    """
    loaded = load_definitions(source, include_path=options.include_path, run_model_code=options.run_model_code)
    tasks = loaded["tasks"].values()
    return tuple(_make_task(task, metric, options, str(source)) for task in tasks)


def load_definitions(
    source: str | Path, *, include_path: Path | None = None, run_model_code: bool = False
) -> dict[str, Any]:
    """Return lm-eval's own objects of a task, group or tag: its TaskDict, with `tasks` and `groups` by name."""
    require("lm_eval", "lm-eval")
    if isinstance(source, Path) and not os.path.isfile(source):  # pathlib raises for names that are too long
        raise FitnessError(f"{shortened(str(source))}: expected an lm-eval task file, found none")
    with lm_eval_errors(str(source)), no_progress_bars():
        manager, name = _find(source, include_path)
    if isinstance(source, str) and source not in manager.all_tasks:
        near = difflib.get_close_matches(source, manager.all_tasks, 3, cutoff=0.5)
        hint = f"; did you mean {' or '.join(near)}?" if near else "; `lm-eval ls tasks` lists them"
        found = f"none of this name{hint}"
        raise FitnessError(f"task {shortened(source)!r}: expected the name of an lm-eval task, found {found}")
    _say_code(manager, source)
    with lm_eval_errors(str(source)), no_progress_bars(), trying_examples(run_model_code):
        loaded: dict[str, Any] = manager.load(name)
    if not loaded["tasks"]:
        raise FitnessError(f"task {source!r}: expected at least one task in it, found none; name its subtasks")
    return loaded


def _make_task(task: Any, metric: str | None, options: LMEvalOptions, group: str) -> LMEvalTask | DivergenceTask:
    published = published_test_set(task)
    if options.split and options.split != task.config.test_split:
        draw_from(task, options.split)
        published = None
    instances = _instances(task, options, group)
    name = f"{task.task_name}@{options.split}" if options.split else str(task.task_name)
    name += f":{metric}" if metric else ""
    group_of = groups_of_documents(name, {item: of_item[0].doc for item, of_item in instances.items()}, options.group)
    if metric != JS_DIVERGENCE:
        return LMEvalTask(task, instances, name=name, metric=metric, published=published, group_of=group_of)
    assert options.expert is not None
    prompts = {item: compared(of_item) for item, of_item in instances.items()}
    asks = {item: content_of(task, of_item[0].doc) for item, of_item in instances.items()}
    return DivergenceTask(name, prompts, expert=options.expert, published=published, asks=asks, group_of=group_of)


def _find(source: str | Path, include_path: Path | None) -> tuple[Any, str]:
    """Return a TaskManager, and what it calls the source."""
    from lm_eval.tasks import TaskManager

    if isinstance(source, str):
        return _index_with_defaults(include_path), source
    folder = include_path or source.parent
    manager = TaskManager(include_path=folder, include_defaults=False)
    for group in manager.all_groups:  # a group in a file goes by its name, and may hold tasks of lm-eval's own
        path = manager.task_index[group].yaml_path
        if path is not None and path.resolve() == source.resolve():
            return _index_with_defaults(folder), group
    return manager, str(source)


def _say_code(manager: Any, source: str | Path) -> None:
    """Say which functions are about to be imported, but for those of lm-eval's own tasks."""
    import lm_eval

    own = Path(lm_eval.__file__).parent

    def file_of(name: str) -> Path | None:
        entry = manager.task_index.get(name)
        path = None if entry is None else entry.yaml_path
        return None if path is None or Path(path).is_relative_to(own) else Path(path)

    file = source if isinstance(source, Path) else file_of(source)
    if file is not None and (code := code_of(file, file_of)):
        log.warning("%s runs code: %s", file, ", ".join(code))


@functools.cache
def _index_with_defaults(include_path: Path | None) -> Any:
    """Return a TaskManager of lm-eval's own tasks and a folder's; reading the former takes some 13 s, so it is kept."""
    from lm_eval.tasks import TaskManager

    return TaskManager(include_path=include_path)


class LMEvalTask:
    """One lm-eval task as a `ScorableTask`; its items' ids are the numbers of its documents."""

    def __init__(
        self,
        task: Any,
        instances: dict[str, list[Any]],
        *,
        name: str,
        metric: str | None = None,
        published: PublishedTestSet | None = None,
        group_of: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.name = name  # lm-eval's, and `:METRIC` where one was asked for
        self.group_of = group_of
        self.item_ids = tuple(instances)
        self.published = published
        self.asks = {item: content_of(task, of_item[0].doc) for item, of_item in instances.items()}
        self._requests = {
            item: [request_of(i, repeat, name) for i in of_item for repeat in range(n_repeats(i))]
            for item, of_item in instances.items()
        }
        self._documents = {item: _digest(of_item[0].doc) for item, of_item in instances.items()}
        self._rules = _digest([metric, task.config.metric_list, task.config.filter_list])
        with lm_eval_errors(name):
            self._measure = choose_measure(task, str(task.task_name), instances, metric)
        self.metric = self._measure.metric
        self._margin = functools.partial(margin_of, task, str(task.task_name), instances, self.metric)

    def item_text(self, item_id: str) -> str:
        """Return the document, right answers included, what is asked about it, and how answers are scored."""
        return f"{self._documents[item_id]} {self._requests[item_id]} {self._rules}"

    def requests(self, item_id: str) -> Sequence[Request]:
        """Return the document's requests."""
        return self._requests[item_id]

    def score(self, item_id: str, answers: Sequence[Answer]) -> float:
        """Return the document's metric, negated where lower is better."""
        with lm_eval_errors(f"{self.name}/{item_id}"):
            return self._measure.score(item_id, answers)

    def signals(self) -> LMEvalSignals | None:
        """Return the margins of its answers; None where it is no multiple choice."""
        margin = self._margin()
        return None if margin is None else LMEvalSignals(self, margin)


@dataclass(frozen=True)
class LMEvalSignals:
    """The margins of an lm-eval task's answers (see `answer_signals`)."""

    task: LMEvalTask
    margin: Measure

    def requests(self, item_id: str) -> Sequence[Request]:
        """Return the document's requests."""
        return self.task.requests(item_id)

    def score(self, item_id: str, answers: Sequence[Answer]) -> float:
        """Return the margin of the document's choices."""
        with lm_eval_errors(f"{self.task.name}/{item_id}"):
            return self.margin.score(item_id, answers)


def _digest(document: object) -> str:
    """Return 64 hex digits that name a document, in every process the same ones."""
    text = re.sub(" at 0x[0-9a-f]+", "", repr(document))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def prepare(task: Any, prompts: Prompts, group: str, *, run_model_code: bool) -> None:
    """Check that a task of lm-eval's, asked for as a group or itself, can be scored; set its few-shot examples."""
    name = str(task.task_name)
    if getattr(task, "MULTIMODAL", False):
        raise FitnessError(f"task {name!r}: expected a task on text, found one with images or sound")
    if getattr(task, "UNSAFE_CODE", False):
        if not run_model_code:
            raise FitnessError(RUNS_CODE.format(name))
        call_in_sandbox(task, name)
    examples = prompts.n_examples((name, group), task.get_config("num_fewshot"))
    if examples is not None:
        task.set_config(key="num_fewshot", value=examples)
    task.set_fewshot_seed(seed=_FEWSHOT_SEED)


def _instances(task: Any, options: LMEvalOptions, group: str) -> dict[str, list[Any]]:
    prompts = options.prompts
    prepare(task, prompts, group, run_model_code=options.run_model_code)
    with lm_eval_errors(str(task.task_name)), no_progress_bars():
        task.build_all_requests(
            system_instruction=prompts.system_instruction,
            apply_chat_template=options.render is not None,
            fewshot_as_multiturn=prompts.fewshot_as_multiturn,
            chat_template=options.render,
        )
    instances: dict[str, list[Any]] = {}
    for instance in task.instances:
        instances.setdefault(str(instance.doc_id), []).append(instance)
    for of_item in instances.values():
        of_item.sort(key=lambda instance: int(instance.idx))
    return instances


@contextlib.contextmanager
def lm_eval_errors(subject: str) -> Iterator[None]:
    """Turn whatever a task definition raises into one message."""
    try:
        yield
    except FitnessError:
        raise
    except Exception as error:  # task definitions hold code of their own, which can raise anything
        if CODE_EVAL in str(error):
            raise FitnessError(RUNS_CODE.format(subject)) from error
        reason = (str(error).strip() or "no reason given").splitlines()[0]
        raise FitnessError(f"task {subject!r}: lm-eval cannot use it: {type(error).__name__}: {reason}") from error


def no_progress_bars() -> contextlib.AbstractContextManager[object]:
    """Keep what libraries draw while they work off the terminal."""
    return contextlib.redirect_stderr(io.StringIO())
