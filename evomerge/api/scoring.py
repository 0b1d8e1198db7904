"""`evomerge.evaluate`: one checkpoint on whole tasks, no search."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evomerge.api.arguments import refused, whole
from evomerge.api.sections import tasks_of
from evomerge.api.texts import frame, in_html
from evomerge.campaign.trust import check_files
from evomerge.config.code import task_code
from evomerge.config.questions import asking_of
from evomerge.errors import did_you_mean, require
from evomerge.results.answers import ItemAnswer, item_answer
from evomerge.workers.sharing import sharing_cores
from fitness.tasks.prompts import Prompts

if TYPE_CHECKING:
    import pandas as pd

    from fitness.tasks.sources import TaskContext


@dataclass(frozen=True)
class Evaluated:
    """Scores of one checkpoint.

    Attributes:
        model: what was scored.
        rows: one per task (or group), metric and filter: task, metric, filter, value, stderr, n_shot, higher_is_better,
            and items: item -> its own value.
        table: the same as lm-eval prints it.
        answers: prompts, right answers, what was answered and scores, of tasks that are not lm-eval's own.
    """

    model: str
    rows: tuple[Mapping[str, Any], ...]
    table: str
    answers: tuple[ItemAnswer, ...] = field(default=(), repr=False)

    def value(self, task: str, metric: str | None = None) -> float:
        """Return a task's value, of the first metric unless one is named.

        Raises:
            KeyError: there is no such row.
        """
        for row in self.rows:
            if row["task"] == task and metric in (None, row["metric"]):
                return float(row["value"])
        known = [f"{row['task']} {row['metric']}" for row in self.rows]
        raise KeyError(f"expected one of {', '.join(known)}, found {task} {metric or ''}".rstrip())

    def to_pandas(self) -> pd.DataFrame:
        """Return one row per task, metric and filter, the items left out."""
        return frame([{key: value for key, value in row.items() if key != "items"} for row in self.rows])

    def to_dict(self) -> dict[str, Any]:
        """Return what `evomerge eval --json` prints."""
        return {"model": self.model, "tasks": [dict(row) for row in self.rows]}

    def _repr_html_(self) -> str:
        return f"<pre>{in_html(self.table)}</pre>"


def evaluate(
    model: str | Path,
    tasks: str | Path | Callable[..., Any] | Sequence[str | Path | Callable[..., Any]],
    *,
    limit: int | None = None,
    prompts: Mapping[str, Any] | None = None,
    questions: Mapping[str, Any] | None = None,
    trust_tasks: bool = False,
    run_model_code: bool = False,
) -> Evaluated:
    """Score one checkpoint on whole tasks, with every metric of lm-eval's tasks.

    >>> import evomerge as em
    >>> scores = em.evaluate("./base", tasks=["words.jsonl"], limit=10)
    >>> 0.0 <= scores.value("words") <= 1.0
    True

    Args:
        model: a directory or hub id.
        tasks: JSONL or lm-eval YAML files, names of lm-eval tasks, functions of a module or file. An lm-eval task is
            measured by all of its metrics, or by the one that follows its name after a colon.
        limit: only the first items of each task, at least 1; None: all.
        prompts: how questions become prompts, the keys as in a campaign file: apply_chat_template, system_instruction,
            fewshot_as_multiturn, num_fewshot, chat_template_args.
        questions: how rows of task files are asked, and when answers are right, the keys as in a campaign file:
            template, columns, match, normalise, max_tokens, stop, language, system.
        trust_tasks: whether tasks that lie in the run directory of somebody else may be run.
        run_model_code: whether tasks that run what models write are scored, in a sandbox, as lm_eval.run_model_code of
            a campaign file says.

    Raises:
        SpaceError: the model cannot be read.
        ConfigError: an argument is of the wrong kind.
        UntrustedCodeError: a task with code lies in a run directory that somebody else began.
        FitnessError: a task cannot be read, or the engine cannot take a request.
    """
    if not isinstance(model, str | os.PathLike):
        raise refused("model", "a directory or hub id", model)
    texts = tasks_of(tasks, "tasks")
    if limit is not None:
        whole("limit", limit)
    _check_prompts(prompts)
    check_files([code for text in texts for code in task_code(text, "tasks")], trust=trust_tasks)
    require("lm_eval", "lm-eval")
    from fitness.tasks.sources import TaskContext

    asking = dict.fromkeys(texts, asking_of(questions))
    context = TaskContext(prompts=Prompts(**(prompts or {})), asking=asking, run_model_code=run_model_code)
    return _scored(os.fspath(model), texts, limit, context)


@sharing_cores()
def _scored(model: str, texts: Sequence[str], limit: int | None, context: TaskContext) -> Evaluated:
    from evomerge.assembly.live_models import load_checkpoint
    from evomerge.assembly.preprocessing import asking, check_asked, output_processor, tokenizer_if_any
    from fitness.engine.engines import language_model_for
    from fitness.engine.lm_eval.lm_eval_backend import EngineLM
    from fitness.tasks.kept_answers import unpack_answers
    from fitness.tasks.lm_eval_results import as_rows, as_table, evaluate_all_metrics, with_our_tasks
    from fitness.tasks.sources import load_tasks
    from fitness.tasks.suite import evaluate_tasks
    from fitness.tasks.task_source import TaskSource
    from search_spaces.recipes.recipe import OutputTokenizer

    sources = {text: TaskSource.parse(text) for text in texts}
    theirs = [source for source in sources.values() if source.kind in ("yaml", "lm_eval") and not source.detail]
    ours = [text for text, source in sources.items() if source not in theirs]
    module, parents = load_checkpoint(model)
    check_asked(parents["model"], [source.place for source in theirs])
    given = parents, "model", OutputTokenizer()
    tokenizer = tokenizer_if_any(*given)
    processor = cache(lambda: output_processor(*given))
    context = replace(context, tokenizer=tokenizer, base=lambda: module, processor=processor)
    loaded = [task for group in load_tasks(ours, context).values() for task in group]
    check_asked(parents["model"], asking(loaded))
    results: dict[str, Any] = {}
    if theirs:
        results = evaluate_all_metrics(
            [Path(source.place).expanduser() if source.is_file else source.place for source in theirs],
            EngineLM(module, tokenizer, chat_template_args=context.prompts.template_arguments),
            prompts=context.prompts,
            limit=limit,
            run_model_code=context.run_model_code,
        )
    engine = None if tokenizer is None else language_model_for(tokenizer)
    scored = evaluate_tasks(module, loaded, language_model=engine, limit=limit)
    results = with_our_tasks(results, scored)
    said = tuple(
        item_answer(item, float(value), one.asked[item], kept[item])
        for one in scored
        if one.scores.answers and (kept := unpack_answers(one.scores.answers)) is not None
        for item, value in zip(one.scores.item_ids, one.scores.values, strict=True)
        if item in one.asked and item in kept
    )
    return Evaluated(model, tuple(as_rows(results)), as_table(results), said)


def _check_prompts(prompts: Any) -> None:
    if not isinstance(prompts, Mapping | None):
        raise refused("prompts", "a mapping", prompts)
    known = [field.name for field in fields(Prompts)]
    for key in prompts or {}:
        if key not in known:
            raise refused(f"prompts.{key}", f"one of {', '.join(known)}", key, did_you_mean(key, known))
