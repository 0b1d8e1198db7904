"""From a campaign's config to the objects that carry it out.

What a space and an optimiser are is for their own options to say (`evomerge.spaces`, `evomerge.optimisers`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from inspect import signature
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from evomerge.archive import Archive
from evomerge.assembly.live_models import build_resident
from evomerge.campaign.constraints import Constraints
from evomerge.config import CampaignConfig, dump_campaign, read_campaign
from evomerge.errors import require
from evomerge.kinds import RECORDED
from evomerge.optimisers import Optimiser, Problem
from evomerge.plugins import load_plugin
from evomerge.results.verification.benchmark_test_sets import check_allowed
from evomerge.schedules import ScreenConfig
from evomerge.schedules.protocol import Ingredients, Schedule
from evomerge.spaces import Ingredients as SpaceIngredients
from evomerge.workers.protocol import CandidateWorker, WorkerPool
from evomerge.workers.threads import available_cores, threads_per_worker
from fitness.engine.model.tokenizer import Tokenizer, load_tokenizer
from fitness.errors import FitnessError
from fitness.estimation import MeanEstimator, Objective
from fitness.protocols import Estimator
from fitness.reduction.reduced_benchmark import ReducedBenchmark
from fitness.reduction.reduced_estimator import ReducedEstimator
from fitness.scores import SPLITS, Budget
from fitness.screening import Screening
from fitness.statistics import PairedComparison
from fitness.tasks.benchmark_split import PublishedTestSet
from fitness.tasks.prompts import Prompts
from fitness.tasks.sources import TaskContext, load_tasks, make_suite, published_test_sets
from fitness.tasks.suite import TaskSuite
from search_spaces.export.output_tokenizer import write_tokenizer
from search_spaces.parents.parents import Parents
from search_spaces.preflight.preflight import Preflight, preflight
from search_spaces.recipes.recipe import Input, Recipe, Rule
from search_spaces.spaces.space import SearchSpace

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import nn


@dataclass(frozen=True)
class Parts:
    """What a campaign is made of, apart from its optimiser, workers and archive.

    Attributes:
        config: resolved.
        parents: opened, weights unread.
        fitness: every task, split.
        objectives: in the config's order.
        reduced: what candidates are scored on, when that is not every search item.
        test_sets: source of a task -> the benchmark's own test set that its items are from.
        screening: compares candidates with the experts; None without a screen.
        given: a search space that is no kind of the config's, but an object; None where there is none.
    """

    config: CampaignConfig
    parents: Parents
    fitness: TaskSuite
    objectives: tuple[Objective, ...]
    reduced: ReducedBenchmark | None = None
    test_sets: Mapping[str, PublishedTestSet] = field(default_factory=dict)
    screening: Screening | None = None
    given: SearchSpace[Any] | None = None

    @property
    def space(self) -> SearchSpace[Any]:
        """The search space."""
        return build_space(self.config, self.parents) if self.given is None else self.given

    def optimiser(self, starts: Sequence[NDArray[np.float64]] = ()) -> Optimiser[Any]:
        """Return a fresh optimiser of the config.

        Args:
            starts: (dim,) genomes to begin with instead of the space's own start.

        Raises:
            OptimiserError: the optimiser cannot search this space, or its library refuses a value.
        """
        config = self.config
        weights = {objective.name: objective.weight for objective in config.objectives}
        problem = Problem(self.space, config.seed, weights, config.budget.evaluations, tuple(starts))
        return config.optimiser.build(problem)

    @property
    def estimator(self) -> Estimator:
        """Item scores -> objectives."""
        splits, task_of = self.fitness.splits, self.fitness.task_of
        if self.config.estimator is not None:
            make = load_plugin("evomerge.estimators", self.config.estimator)
            given = {"objectives": self.objectives, "task_of": task_of, "splits": splits}
            made: Estimator = make(**{name: given[name] for name in signature(make).parameters if name in given})
            return made
        if self.reduced is None or self.config.reduced is None:
            return MeanEstimator(self.objectives, task_of=task_of, splits=splits)
        chosen = None if self.config.reduced.estimator == "auto" else self.config.reduced.estimator
        if chosen is None and self._halves and "p-irt" in self.reduced.bank.estimators:
            chosen = "p-irt"  # the best of those that steered halving in a replay
        return ReducedEstimator(self.reduced, self.objectives, estimator=chosen, task_of=task_of, splits=splits)

    @property
    def search_budget(self) -> Budget:
        """The items that candidates are scored on."""
        items = self.fitness.splits.items["search"]
        if self.reduced is not None and self.config.reduced is not None:
            n_items = self.config.reduced.items
            if not self._halves:
                return Budget("search", self.reduced.items_for(n_items))
            # In the seeded order: a halving begins with the first of them.
            chosen = set(items if n_items is None else self.reduced.items_for(n_items))
            return Budget("search", tuple(item for item in items if item in chosen))
        n_items = self.config.budget.items
        return Budget("search", None if n_items is None or n_items >= len(items) else items[:n_items])

    def schedule(self, archive: Archive, constraints: Constraints) -> Schedule:
        """Return who answers which items of the budget, and who may be told."""
        weights = {o.name: o.weight for o in self.objectives}
        of_mean = self.config.optimiser.maximises_mean or len(weights) == 1
        budget = self.search_budget
        return self.config.schedule.build(
            Ingredients(
                archive,
                budget,
                budget.items or self.fitness.splits.items["search"],
                estimator=self.estimator,
                task_of=self.fitness.task_of,
                weights=weights if of_mean and any(weights.values()) else None,
                missed=constraints.missed,
                screening=self.screening,
            )
        )

    @property
    def _halves(self) -> bool:
        schedule = self.config.schedule
        return (schedule.then if isinstance(schedule, ScreenConfig) else schedule).kind == "halving"

    @property
    def comparison(self) -> PairedComparison:
        """Compares two candidates on the same items."""
        return PairedComparison(self.objectives, self.fitness.task_of)

    def preflight(self, *, read_weights: bool = True) -> Preflight:
        """Compare the parents with the base; reads every weight once to find NaN."""
        stacked = self.config.space.stacked
        return preflight(self.parents, self.config.base_name, read_weights=read_weights, stacked=stacked)


def build_space(config: CampaignConfig, parents: Parents) -> SearchSpace[Any]:
    """Return the search space of a config.

    Raises:
        SpaceError: the section does not fit the parents, such as more blocks than layers.
    """
    return config.space.build(
        SpaceIngredients(
            parents=parents,
            sources=config.sources,
            base=config.base_name,
            merge_base=config.base is None,
            dtype=config.export.dtype,
            seed=config.seed,
            tokenizer=config.output_tokenizer,
        )
    )


def parents_alone(config: CampaignConfig, parents: Parents) -> dict[str, Recipe]:
    """Return checkpoint -> the recipe of that one alone, as the space writes it."""
    if config.space.kind != RECORDED:
        return {landmark.name: landmark.recipe for landmark in build_space(config, parents).landmarks()}
    return {name: alone(config, name) for name in config.sources}


def alone(config: CampaignConfig, name: str) -> Recipe:
    """Return the recipe of one checkpoint alone."""
    rules = (Rule("passthrough", (Input(name),)),)
    return Recipe(
        config.sources,
        config.base_name,
        rules,
        dtype=config.export.dtype,
        seed=config.seed,
        tokenizer=config.output_tokenizer,
    )


def build_parts(config: CampaignConfig, given: SearchSpace[Any] | None = None) -> Parts:
    """Open the parents and load the tasks of a resolved config, whose space may be an object.

    Raises:
        SpaceError: a parent cannot be read.
        FitnessError: a task cannot be read, has too few items for its splits, an item is too long for the model, or
            items are from a benchmark's own test set without permission.
    """
    parents = Parents.open(config.sources, base=config.base_name, tokenizer=config.output_tokenizer)
    tokenizer = _load_tokenizer(config, parents)
    include_path = config.lm_eval.include_path
    context = TaskContext(
        include_path=None if include_path is None else Path(include_path),
        prompts=Prompts(**config.prompts.model_dump()),
        tokenizer=tokenizer,
        experts={task: o.expert for o in config.objectives if o.expert is not None for task in o.tasks},
        base=lambda: _base_model(config, parents),
    )
    loaded = load_tasks([task for objective in config.objectives for task in objective.tasks], context)
    test_sets = published_test_sets(loaded)
    check_allowed(test_sets, allowed=config.allow_benchmark_test_sets)
    suite = make_suite(
        [task for group in loaded.values() for task in group],
        tokenizer=tokenizer,
        shares={split: getattr(config.splits, split) for split in SPLITS},
        seed=config.seed,
        memory=config.engine.memory,
    )
    objectives = tuple(
        Objective(o.name, tuple(task.name for source in o.tasks for task in loaded[source]), o.weight)
        for o in config.objectives
    )
    screening = _build_screening(config, suite, objectives)
    parts = Parts(config, parents, suite, objectives, _read_reduced(config, suite), test_sets, screening, given)
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
    missing = sorted(tasks - {task_of[item] for item in chosen}) if chosen is not None else []
    if missing:
        raise FitnessError(
            f"budget.items: expected enough for an item of every task, found none of {missing[0]!r} among "
            f"{parts.config.budget.items}"
        )


def _read_reduced(config: CampaignConfig, suite: TaskSuite) -> ReducedBenchmark | None:
    """Return the reduced benchmark of a config, checked against its search items."""
    if config.reduced is None:
        return None
    benchmark = ReducedBenchmark.read(Path(config.reduced.file))
    items = suite.splits.items["search"]
    benchmark.check_fits(items, suite.content_digest(items))
    return benchmark


def _load_tokenizer(config: CampaignConfig, parents: Parents) -> Tokenizer:
    """Return the candidates' tokenizer, which may be no parent's own."""
    base = parents[config.base_name]
    if parents.vocabulary is None and base.tokenizer_directory == base.directory:
        return load_tokenizer(base.directory)
    with TemporaryDirectory() as directory:
        write_tokenizer(parents, config.base_name, config.output_tokenizer, Path(directory))
        return load_tokenizer(Path(directory))


@dataclass(frozen=True)
class MakeWorker:
    """Makes a campaign's worker in the process where it is called; small and picklable.

    Attributes:
        campaign: the resolved config as YAML, which travels whatever classes it consists of.
        given: the search space where it is an object.
    """

    campaign: str
    given: SearchSpace[Any] | None = None

    def __call__(self) -> CandidateWorker:
        """Open the parents, load the tasks and build the resident model."""
        return build_worker(build_parts(read_campaign(self.campaign), self.given))


def build_worker(parts: Parts) -> CandidateWorker:
    """Return a worker with a resident model of the base's architecture."""
    from evomerge.workers.experts import Experts
    from evomerge.workers.screening import with_screening
    from evomerge.workers.worker import Worker

    resident = build_resident(parts.config, parts.parents)
    alone = parents_alone(parts.config, parts.parents)
    prepare = Experts(resident, parts.fitness, alone).learn
    worker = Worker(resident, parts.fitness, prepare)
    return worker if parts.screening is None else with_screening(worker, parts.screening, resident, alone)


def _base_model(config: CampaignConfig, parents: Parents) -> nn.Module:
    resident = build_resident(config, parents)
    resident.become(parents_alone(config, parents)[config.base_name])
    return resident.model


def build_pool(parts: Parts, run_dir: Path) -> WorkerPool:
    """Return the pool of workers of a config.

    Raises:
        WorkerPoolError: the resources are not there, or a worker cannot be built.
    """
    import torch

    workers = parts.config.workers
    if workers.backend == "in_process":
        from evomerge.workers.in_process import InProcessPool

        torch.set_num_threads(threads_per_worker(1, workers.cpus, available_cores()))
        together = workers.together or parts.config.space.together
        return InProcessPool(lambda: build_worker(parts), together=together)
    require("ray", "ray")
    from evomerge.workers.ray_pool import RayPool

    return RayPool(
        MakeWorker(dump_campaign(parts.config), parts.given),
        count=workers.count,
        run_dir=run_dir,
        cpus=workers.cpus,
        gpus=(1.0 if torch.cuda.is_available() else 0.0) if workers.gpus is None else workers.gpus,
        address=workers.address,
        deadline_s=workers.deadline_seconds,
    )
