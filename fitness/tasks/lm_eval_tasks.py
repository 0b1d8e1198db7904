"""lm-eval's tasks, item by item; the only importer of lm_eval.

Prompts, few-shot examples, filters and metrics are lm-eval's.

Follows `lm_eval.evaluator.evaluate` (0.4.13), which only yields whole tasks: build all requests, answer those of the
wanted items, filter the responses, ask the task for the item's metrics.
"""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import functools
import io
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from fitness.engine.language_model import Answer, Completion, Continuation, LogLikelihood, Request, WholeText
from fitness.errors import FitnessError

_FEWSHOT_SEED = 1234  # lm-eval's default, so that few-shot examples are the usual ones
_PER_TEXT = "bits_per_byte"  # lm-eval weighs texts by their bytes; here each text is an item with its own value
_MAX_NEW_TOKENS = 256  # lm-eval's default
_LENGTH_KEYS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")

log = logging.getLogger(__name__)


def load_lm_eval_tasks(
    source: str | Path, *, metric: str | None = None, include_path: Path | None = None
) -> tuple[LMEvalTask, ...]:
    """Load an lm-eval task, or all tasks of a group or tag.

    Args:
        source: a name that lm-eval knows, or a Path to a YAML file.
        metric: `METRIC` or `METRIC,FILTER`; by default the first of the task's metrics that is a mean over items, and
            its first filter.
        include_path: folder with further task definitions; by default the YAML file's.

    Raises:
        FitnessError: there is no such task (the nearest names are given), lm-eval cannot load it, it needs sampling,
            images or the running of generated code, or the metric is not a mean over items.
    """
    if isinstance(source, Path) and not source.is_file():
        raise FitnessError(f"{source}: expected an lm-eval task file, found none")
    with _lm_eval_errors(str(source)), _no_progress_bars():
        manager, name = _find(source, include_path)
    if isinstance(source, str) and source not in manager.all_tasks:
        near = difflib.get_close_matches(source, manager.all_tasks, 3, cutoff=0.5)
        hint = f"; did you mean {' or '.join(near)}?" if near else "; `lm-eval ls tasks` lists them"
        raise FitnessError(f"task {source!r}: expected the name of an lm-eval task, found none of this name{hint}")
    with _lm_eval_errors(str(source)), _no_progress_bars():
        tasks = list(manager.load(name)["tasks"].values())
    if not tasks:
        raise FitnessError(f"task {source!r}: expected at least one task in it, found none; name its subtasks")
    return tuple(LMEvalTask(task, metric=metric) for task in tasks)


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


@functools.cache
def _index_with_defaults(include_path: Path | None) -> Any:
    """Return a TaskManager of lm-eval's own tasks and a folder's; reading the former takes some 13 s, so it is kept."""
    from lm_eval.tasks import TaskManager

    return TaskManager(include_path=include_path)


class LMEvalTask:
    """One lm-eval task as a `ScorableTask`; its items' ids are the numbers of its documents."""

    def __init__(self, task: Any, *, metric: str | None = None) -> None:
        self._task = task
        self._name = str(task.task_name)
        _check_supported(task, self._name)
        with _lm_eval_errors(self._name), _no_progress_bars():
            task.set_fewshot_seed(seed=_FEWSHOT_SEED)
            task.build_all_requests()
        self._instances: dict[str, list[Any]] = {}
        for instance in task.instances:
            self._instances.setdefault(str(instance.doc_id), []).append(instance)
        for instances in self._instances.values():
            instances.sort(key=lambda instance: int(instance.idx))
        self._requests = {
            item: [_request(instance, self._name) for instance in instances]
            for item, instances in self._instances.items()
        }
        self._metric, self._filter = _choose_metric(task, self._name, metric)
        self._sign = 1.0 if task.higher_is_better().get(self._metric, True) else -1.0

    @property
    def name(self) -> str:
        """lm-eval's name of the task."""
        return self._name

    @property
    def metric(self) -> str:
        """lm-eval's name of the metric, with a leading minus where lower is better."""
        return self._metric if self._sign > 0 else f"-{self._metric}"

    @property
    def item_ids(self) -> tuple[str, ...]:
        """Numbers of the documents, as strings."""
        return tuple(self._instances)

    def requests(self, item_id: str) -> Sequence[Request]:
        """Return the document's requests."""
        return self._requests[item_id]

    def score(self, item_id: str, answers: Sequence[Answer]) -> float:
        """Return the document's metric, negated where lower is better.

        Raises:
            FitnessError: lm-eval fails, or yields no number.
        """
        answered = [
            dataclasses.replace(
                instance, resps=[_response(answer, instance)] * (instance.repeats or 1), filtered_resps={}
            )
            for instance, answer in zip(self._instances[item_id], answers, strict=True)
        ]
        with _lm_eval_errors(f"{self._name}/{item_id}"):
            for pipeline in self._task._filters:
                pipeline.apply(answered)
            responses = [instance.filtered_resps[self._filter] for instance in answered]
            value = self._task.process_results(answered[0].doc, responses)[self._metric]
            if self._metric == _PER_TEXT:
                value = self._task.aggregation()[_PER_TEXT]([value])
        try:
            return self._sign * float(value) + 0.0  # no negative zero
        except (TypeError, ValueError):
            raise FitnessError(
                f"task {self._name!r}, metric {self._metric!r}: expected one number per item, found {value!r}; "
                f"ask for another metric as {self._name}:METRIC"
            ) from None


def _check_supported(task: Any, name: str) -> None:
    if getattr(task, "MULTIMODAL", False):
        raise FitnessError(f"task {name!r}: expected a task on text, found one with images or sound")
    if getattr(task, "UNSAFE_CODE", False):
        raise FitnessError(f"task {name!r}: expected a task that runs no code, found one that runs what models write")


def _request(instance: Any, name: str) -> Request:
    match instance.request_type:
        case "loglikelihood":
            return Continuation(*map(str, instance.args))
        case "loglikelihood_rolling":
            return WholeText(str(instance.args[0]))
        case "generate_until":
            return _completion(str(instance.args[0]), dict(instance.args[1]), name)
    raise FitnessError(f"task {name!r}: expected requests of lm-eval's three kinds, found {instance.request_type!r}")


def _completion(prompt: str, options: dict[str, Any], name: str) -> Completion:
    if options.get("do_sample") or float(options.get("temperature") or 0.0) > 0.0 or options.get("num_beams", 1) != 1:
        raise FitnessError(
            f"task {name!r}: expected greedy completions, found generation_kwargs {options}; set do_sample: false in "
            "a copy of its YAML file"
        )
    until = options.get("until") or []
    lengths = [options[key] for key in _LENGTH_KEYS if options.get(key) is not None]
    return Completion(
        prompt,
        stop=(until,) if isinstance(until, str) else tuple(until),
        max_new_tokens=int(lengths[0]) if lengths else _MAX_NEW_TOKENS,
    )


def _response(answer: Answer, instance: Any) -> object:
    """Return what lm-eval's models return for this kind of request."""
    if not isinstance(answer, LogLikelihood):
        return answer
    return answer.value if instance.request_type == "loglikelihood_rolling" else (answer.value, answer.is_greedy)


def _choose_metric(task: Any, name: str, wanted: str | None) -> tuple[str, str]:
    """Return (metric, filter)."""
    from lm_eval.api.registry import get_aggregation

    mean = get_aggregation("mean")
    aggregations = task.aggregation()
    usable = [metric for metric, aggregation in aggregations.items() if aggregation is mean or metric == _PER_TEXT]
    filters = [pipeline.name for pipeline in task._filters]
    metric, _, pipeline = (wanted or "").partition(",")
    if not metric and usable:
        if usable[0] != next(iter(aggregations)):
            log.info("%s: scored by %s, the first of its metrics that is a mean over items", name, usable[0])
        metric = usable[0]
    if metric not in usable:
        kind = "one of another kind" if metric in aggregations else "none such"
        near = difflib.get_close_matches(metric, usable, 1, cutoff=0.0)
        hint = f"use {name}:{near[0]}" if near else "this task has none: use another task, or a task file of your own"
        raise FitnessError(
            f"task {name!r}, metric {metric or list(aggregations)!r}: expected a metric that is a mean over items, "
            f"found {kind}; {hint}"
        )
    if pipeline and pipeline not in filters:
        raise FitnessError(f"task {name!r}, filter {pipeline!r}: expected one of {filters}, found another")
    return metric, pipeline or filters[0]


@contextlib.contextmanager
def _lm_eval_errors(subject: str) -> Iterator[None]:
    """Turn whatever a task definition raises into one message."""
    try:
        yield
    except Exception as error:  # task definitions hold code of their own, which can raise anything
        reason = (str(error).strip() or "no reason given").splitlines()[0]
        raise FitnessError(f"task {subject!r}: lm-eval cannot use it: {type(error).__name__}: {reason}") from error


def _no_progress_bars() -> contextlib.AbstractContextManager[object]:
    return contextlib.redirect_stderr(io.StringIO())
