"""What is measured of an lm-eval document: a metric of the task's own, or one of ours over its choices."""

from __future__ import annotations

import dataclasses
import difflib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fitness.engine.language_model import Answer, LogLikelihood
from fitness.errors import FitnessError
from fitness.tasks.choice_metrics import CHOICE_METRICS, MARGINS, NEED_BOTH_SIDES, ScoredChoices, shown
from fitness.tasks.lm_eval_requests import n_repeats, response_to

_PER_TEXT = "bits_per_byte"  # lm-eval weighs texts by their bytes; here each text is an item with its own value

Instances = Mapping[str, Sequence[Any]]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Measure:
    """How a document is scored."""

    metric: str  # its name, with a leading minus where it is negated
    # item id and the answers to all repeats of its instances -> the score, higher is better; raises whatever a task
    # definition raises
    score: Callable[[str, Sequence[Answer]], float]


def choose_measure(task: Any, name: str, instances: Instances, wanted: str | None) -> Measure:
    """Return the measure `wanted`: `METRIC` or `METRIC,FILTER` of the task's own, or for multiple choice one of ours.

    None: the first of the task's metrics that is a mean over items, and its first filter. `instances` are lm-eval's, by
    item id.
    """
    own = _own_metrics(task)
    metric, _, pipeline = (wanted or "").partition(",")
    if metric and metric not in own and metric in CHOICE_METRICS and task.OUTPUT_TYPE == "multiple_choice":
        if pipeline:
            raise FitnessError(f"task {name!r}, metric {metric!r}: expected no filter, found {pipeline!r}")
        return _choice_measure(task, name, instances, metric)
    if not metric and own:
        if own[0] != next(iter(task.aggregation())):
            log.info("%s: scored by %s, the first of its metrics that is a mean over items", name, own[0])
        metric = own[0]
    if metric not in own:
        _refuse(task, name, metric, own)
    filters = [ensemble.name for ensemble in task._filters]
    if pipeline and pipeline not in filters:
        raise FitnessError(f"task {name!r}, filter {pipeline!r}: expected one of {filters}, found another")
    chosen = pipeline or filters[0]
    sign = 1.0 if task.higher_is_better().get(metric, True) else -1.0

    def score(item: str, answers: Sequence[Answer]) -> float:
        value = _own_value(task, metric, chosen, instances[item], answers)
        try:
            return sign * float(value) + 0.0  # no negative zero
        except (TypeError, ValueError):
            raise FitnessError(
                f"task {name!r}, metric {metric!r}: expected one number per item, found {value!r}; ask for another "
                f"metric as {name}:METRIC"
            ) from None

    return Measure(metric if sign > 0 else f"-{metric}", score)


def margin_of(task: Any, name: str, instances: Instances, metric: str) -> Measure | None:
    """Return the margin that goes with a metric of multiple choice; None where there is none."""
    if task.OUTPUT_TYPE != "multiple_choice" or metric not in MARGINS:
        return None
    return Measure("margin", _of_choices(task, name, instances, MARGINS[metric], "a margin"))


def _own_metrics(task: Any) -> list[str]:
    from lm_eval.api.registry import get_aggregation

    mean = get_aggregation("mean")
    return [metric for metric, how in task.aggregation().items() if how is mean or metric == _PER_TEXT]


def _refuse(task: Any, name: str, metric: str, own: Sequence[str]) -> None:
    ours = list(CHOICE_METRICS) if task.OUTPUT_TYPE == "multiple_choice" else []
    kind = "one of another kind" if metric in task.aggregation() else "none such"
    near = difflib.get_close_matches(metric, [*own, *ours], 1, cutoff=0.0)
    hint = f"use {name}:{near[0]}" if near else "this task has none: use another task, or a task file of your own"
    raise FitnessError(
        f"task {name!r}, metric {metric or list(task.aggregation())!r}: expected a metric that is a mean over items, "
        f"found {kind}; {hint}"
    )


def _own_value(task: Any, metric: str, pipeline: str, instances: Sequence[Any], answers: Sequence[Answer]) -> Any:
    left = iter(answers)
    answered = [
        dataclasses.replace(
            instance,
            resps=[response_to(instance, next(left)) for _ in range(n_repeats(instance))],
            filtered_resps={},
        )
        for instance in instances
    ]
    for ensemble in task._filters:
        ensemble.apply(answered)
    responses = [instance.filtered_resps[pipeline] for instance in answered]
    values = task.process_results(answered[0].doc, responses)
    # A metric may name what it counts by itself: `pass_at_k` with k 1 is `pass@1`.
    value = next(iter(values.values())) if metric not in values and len(values) == 1 else values[metric]
    return task.aggregation()[_PER_TEXT]([value]) if metric == _PER_TEXT else value


def _choice_measure(task: Any, name: str, instances: Instances, metric: str) -> Measure:
    needs_both = metric in NEED_BOTH_SIDES
    return Measure(
        shown(metric), _of_choices(task, name, instances, CHOICE_METRICS[metric], metric if needs_both else "")
    )


def _of_choices(
    task: Any, name: str, instances: Instances, measured: Callable[[ScoredChoices], float], needs_both: str
) -> Callable[[str, Sequence[Answer]], float]:
    """Return what scores a document's choices; `needs_both` names what needs a right and a wrong one, where it does."""
    choices = {item: [str(c) for c in task.doc_to_choice(of_item[0].doc)] for item, of_item in instances.items()}
    right = {item: _right(task, of_item[0].doc, choices[item]) for item, of_item in instances.items()}
    for item in instances if needs_both else ():
        if not 0 < len(right[item]) < len(choices[item]):
            raise FitnessError(
                f"item '{name}/{item}': {needs_both} needs a right and a wrong choice, found {len(right[item])} right "
                f"among {choices[item]}"
            )

    def score(item: str, answers: Sequence[Answer]) -> float:
        per_choice = answers[:: n_repeats(instances[item][0])][: len(choices[item])]  # mutual information asks more
        likelihoods = np.array([answer.value for answer in per_choice if isinstance(answer, LogLikelihood)])
        return measured(ScoredChoices(likelihoods, choices[item], right[item]))

    return score


def _right(task: Any, doc: Any, choices: Sequence[str]) -> frozenset[int]:
    """Return the indices of the right choices, as `ConfigurableTask.process_results` finds them."""
    target = task.doc_to_text(doc) if getattr(task, "multiple_input", 0) else task.doc_to_target(doc)
    targets = target if isinstance(target, list) else [target]
    indices = [choices.index(t) if isinstance(t, str) and t in choices else t for t in targets]
    return frozenset(i for i in indices if isinstance(i, int) and 0 <= i < len(choices))
