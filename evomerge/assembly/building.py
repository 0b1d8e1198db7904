"""From a campaign's config to its parts: parents are opened, tasks loaded and split, objectives made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from evomerge.assembly.costs import Measuring, measure_of, measured_tasks
from evomerge.assembly.live_models import base_model
from evomerge.assembly.preprocessing import asking, check_asked, output_processor, tokenizer_if_any
from evomerge.assembly.signals import signal_tasks
from evomerge.config import CampaignConfig
from evomerge.results.verification.benchmark_test_sets import check_allowed
from evomerge.schedules import ScreenConfig
from fitness.engine.engines import language_model_for
from fitness.errors import FitnessError
from fitness.estimation import Objective
from fitness.reduction.reduced_benchmark import ReducedBenchmark
from fitness.screening import Screening
from fitness.tasks.prompts import Prompts
from fitness.tasks.sources import TaskContext, load_tasks, make_suite, published_test_sets
from fitness.tasks.suite import TaskSuite
from search_spaces.parents.parents import Parents
from search_spaces.recipes.recipe import ParentSource
from search_spaces.spaces.space import SearchSpace

if TYPE_CHECKING:
    pass
from evomerge.assembly.parts import Parts


def build_parts(
    config: CampaignConfig,
    given: SearchSpace[Any] | None = None,
    places: Mapping[str, ParentSource] = MappingProxyType({}),
    tokens: Path | None = None,
) -> Parts:
    """Open the parents and load the tasks of a resolved config, whose space may be an object; see `Parts.places`.

    Token ids of what the tasks ask are kept in the directory `tokens`, where there is one (see `TokenFiles`).
    """
    parents = Parents.open(config.sources, base=config.base_name, tokenizer=config.output_tokenizer, places=places)
    tokenizer = tokenizer_if_any(parents, config.base_name, config.output_tokenizer)
    include_path = config.lm_eval.include_path
    prompts = {**config.prompts.model_dump(), "apply_chat_template": config.prompts.apply_chat_template or False}
    context = TaskContext(
        include_path=None if include_path is None else Path(include_path),
        prompts=Prompts(**prompts),
        run_model_code=config.lm_eval.run_model_code,
        tokenizer=tokenizer,
        experts={task: o.expert for o in config.objectives if o.expert is not None for task in o.tasks},
        base=lambda: base_model(config, parents),
        processor=cache(lambda: output_processor(parents, config.base_name, config.output_tokenizer)),
        drawn=config.splits.drawn,
        groups=config.groups,
        asking=config.asking,
    )
    loaded = load_tasks([task for objective in config.objectives for task in objective.tasks], context)
    timed = language_model_for(tokenizer) if tokenizer and any(o.cost == "seconds" for o in config.objectives) else None
    measuring = Measuring(partial(measure_of, config, parents), timed)
    tasks_of = measured_tasks(config.objectives, loaded, measuring)
    asked = list(dict.fromkeys(task for tasks in tasks_of for task in tasks))
    check_asked(parents[config.base_name], asking(asked))
    test_sets = published_test_sets(loaded)
    check_allowed(test_sets, allowed=config.allow_benchmark_test_sets)
    suite = make_suite(
        [*asked, *signal_tasks(config.objectives, tasks_of)],
        tokenizer=tokenizer,
        shares=config.splits.shares,
        seed=config.seed,
        memory=config.engine.memory,
        drawn=config.splits.drawn,
        tokens=tokens,
        keeps_answers=config.answers != "none",
    )
    objectives = tuple(
        Objective(o.name, tuple(task.name for task in tasks), o.weight, o.cost, o.margin)
        for o, tasks in zip(config.objectives, tasks_of, strict=True)
    )
    screening = _build_screening(config, suite, objectives)
    reduced = _read_reduced(config, suite)
    parts = Parts(config, parents, suite, objectives, reduced, test_sets, screening, given, places=dict(places))
    _check_every_task_is_scored(parts)
    return parts


def _build_screening(config: CampaignConfig, suite: TaskSuite, objectives: Sequence[Objective]) -> Screening | None:
    if not isinstance(config.schedule, ScreenConfig):
        return None
    named = zip(config.objectives, objectives, strict=True)
    return Screening(
        suite,
        objectives,
        n_prompts=config.schedule.prompts,
        parents=[parent.name for parent in config.parents],
        checkpoints=list(config.sources),
        experts={task: o.expert for o, objective in named if o.expert is not None for task in objective.tasks},
    )


def _check_every_task_is_scored(parts: Parts) -> None:
    """Check that the items of a candidate tell something of every task."""
    chosen, task_of = parts.search_budget.items, parts.fitness.task_of
    tasks = {task for objective in parts.objectives for task in objective.tasks}
    if chosen is None:
        return
    if parts.config.schedule.own_items:  # each has one of every task, where there are as many
        questions = parts.fitness.questions(chosen)
        asked = {task_of[item] for item in parts.fitness.questions(parts.fitness.splits.items["search"])}
        found = f"{len(questions)} items for {len(asked)} tasks" if len(questions) < len(asked) else ""
    else:
        missing = sorted(tasks - {task_of[item] for item in chosen})
        found = f"none of {missing[0]!r} among {parts.config.budget.items}" if missing else ""
    if found:
        raise FitnessError(f"budget.items: expected enough for an item of every task, found {found}")


def _read_reduced(config: CampaignConfig, suite: TaskSuite) -> ReducedBenchmark | None:
    """Return the reduced benchmark of a config, checked against its search items."""
    if config.reduced is None:
        return None
    benchmark = ReducedBenchmark.read(Path(config.reduced.file))
    items = suite.questions(suite.splits.items["search"])
    asked = suite.content_digest(items)  # what older versions recorded, which knew nothing of right answers
    benchmark.check_fits(items, asked if benchmark.content == asked else suite.answers_digest(items))
    return benchmark
