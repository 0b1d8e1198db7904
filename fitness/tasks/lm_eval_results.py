"""Whole tasks as lm-eval reports them: every metric and filter, groups, standard errors, and every item's values.

Results are in lm-eval's own format (`lm_eval.result_schema.EvalResults`), ours among them, so that one table shows all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fitness.engine.lm_eval.lm_eval_backend import EngineLM
from fitness.errors import FitnessError
from fitness.tasks.lm_eval_tasks import lm_eval_errors, load_definitions, no_progress_bars, prepare
from fitness.tasks.prompts import Prompts
from fitness.tasks.suite import TaskResult

Results = dict[str, Any]

_NO_FILTER = "none"  # lm-eval's name for it


def evaluate_all_metrics(
    sources: Sequence[str | Path],
    lm: EngineLM,
    *,
    prompts: Prompts | None = None,
    limit: int | None = None,
    run_model_code: bool = False,
) -> Results:
    """Return what lm-eval's evaluator makes of some tasks.

    Sources are names of tasks, groups and tags, and Paths of YAML files; `limit`: only each task's first items.
    """
    from lm_eval.evaluator import evaluate

    if not sources:
        return {}
    prompts = prompts or Prompts()
    loaded: dict[str, dict[str, Any]] = {"tasks": {}, "groups": {}}
    for source in dict.fromkeys(sources):
        definitions = load_definitions(source, run_model_code=run_model_code)
        for task in definitions["tasks"].values():
            prepare(task, prompts, str(source), run_model_code=run_model_code)
            if task.get_config("num_fewshot") is None:
                task.set_config(key="num_fewshot", value=0)
        loaded["tasks"] |= definitions["tasks"]
        loaded["groups"] |= definitions["groups"]
    prompts.check_names([*dict.fromkeys([*map(str, sources), *map(str, loaded["tasks"])])])
    with lm_eval_errors(", ".join(map(str, sources))), no_progress_bars():
        results: Results = evaluate(
            lm,
            loaded,
            limit=limit,
            system_instruction=prompts.system_instruction,
            apply_chat_template=prompts.apply_chat_template,
            fewshot_as_multiturn=prompts.fewshot_as_multiturn,
            confirm_run_unsafe_code=run_model_code,
        )
    return results


def with_our_tasks(results: Results, ours: Sequence[TaskResult]) -> Results:
    """Return lm-eval's results and those of tasks that are not lm-eval's; measures stand in their usual direction."""
    columns = ("results", "versions", "n-shot", "higher_is_better", "samples")
    merged = {**results, **{column: dict(results.get(column, {})) for column in columns}}
    for result in ours:
        if result.task in merged["results"]:
            raise FitnessError(f"tasks: expected unique names, found {result.task!r} twice")
        metric, sign = result.metric.removeprefix("-"), -1.0 if result.metric.startswith("-") else 1.0
        merged["results"][result.task] = {
            "alias": result.task,
            f"{metric},{_NO_FILTER}": sign * result.value,
            f"{metric}_stderr,{_NO_FILTER}": "N/A" if result.stderr is None else result.stderr,
        }
        merged["versions"][result.task] = "ours"
        merged["n-shot"][result.task] = 0
        merged["higher_is_better"][result.task] = {metric: sign > 0}
        merged["samples"][result.task] = [
            {"doc_id": item.removeprefix(f"{result.task}/"), "filter": _NO_FILTER, metric: sign * value}
            for item, value in zip(result.scores.item_ids, result.scores.values.tolist(), strict=True)
        ]
    return merged


def as_table(results: Results) -> str:
    """Return lm-eval's own table, and that of groups where there are any."""
    from lm_eval.utils import make_table

    tables = [make_table(results)]
    if "groups" in results:
        tables.append(make_table(results, "groups"))
    return "\n".join(map(str, tables))


def as_rows(results: Results) -> list[dict[str, Any]]:
    """Return one row per task (or group), metric and filter, with every item's value, as JSON can hold it."""
    rows = []
    for task, values in results["results"].items():
        for key, value in values.items():
            metric, comma, pipeline = key.partition(",")
            if not comma or metric.endswith("_stderr"):
                continue
            stderr = values.get(f"{metric}_stderr,{pipeline}")
            rows.append(
                {
                    "task": task,
                    "filter": pipeline,
                    "metric": metric,
                    "higher_is_better": results["higher_is_better"].get(task, {}).get(metric),
                    "value": value,
                    "stderr": stderr if isinstance(stderr, float) else None,
                    "n_shot": results["n-shot"].get(task),
                    "items": _items(task, metric, pipeline, results.get("samples", {}).get(task, ())),
                }
            )
    return rows


def _items(task: str, metric: str, pipeline: str, samples: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        f"{task}/{sample['doc_id']}": sample[metric]
        for sample in samples
        if sample["filter"] == pipeline and metric in sample
    }
