"""From a campaign's config to the objects that carry it out.

With `build_space` and `build_optimiser` the only place that knows which name means what.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from evomerge.build_space import build_space
from evomerge.config import CampaignConfig
from evomerge.live_models import build_resident
from evomerge.workers.protocol import CandidateWorker, WorkerPool
from evomerge.workers.threads import available_cores, threads_per_worker
from fitness.engine.tokenizer import Tokenizer, load_tokenizer
from fitness.estimators import MeanEstimator, Objective
from fitness.scores import SPLITS, ItemScores
from fitness.statistics import Difference, paired_difference
from fitness.tasks.prompts import Prompts
from fitness.tasks.sources import TaskContext, load_tasks, make_suite
from fitness.tasks.suite import TaskSuite
from search_spaces.space import SearchSpace
from search_spaces.weights.output_tokenizer import write_tokenizer
from search_spaces.weights.parents import Parents
from search_spaces.weights.preflight import Preflight, preflight

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Parts:
    """What a campaign is made of, apart from its optimiser, workers and archive.

    Attributes:
        config: resolved.
        parents: opened, weights unread.
        fitness: every task, split.
        objectives: in the config's order.
    """

    config: CampaignConfig
    parents: Parents
    fitness: TaskSuite
    objectives: tuple[Objective, ...]

    @property
    def space(self) -> SearchSpace[Any]:
        """The search space."""
        return build_space(self.config, self.parents)

    @property
    def estimator(self) -> MeanEstimator:
        """Item scores -> objectives."""
        return MeanEstimator(self.objectives, task_of=self.fitness.task_of, splits=self.fitness.splits)

    @property
    def compare(self) -> Callable[[ItemScores, ItemScores], Difference]:
        """The paired difference of two candidates on the same items."""
        return partial(paired_difference, objectives=self.objectives, task_of=self.fitness.task_of)

    def preflight(self, *, read_weights: bool = True) -> Preflight:
        """Compare the parents with the base; reads every weight once to find NaN."""
        return preflight(self.parents, self.config.base_name, read_weights=read_weights)


def build_parts(config: CampaignConfig) -> Parts:
    """Open the parents and load the tasks of a resolved config.

    Raises:
        SpaceError: a parent cannot be read.
        FitnessError: a task cannot be read, has too few items for its splits, or an item is too long for the model.
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
    return Parts(config, parents, suite, objectives)


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
        config: resolved.
    """

    config: CampaignConfig

    def __call__(self) -> CandidateWorker:
        """Open the parents, load the tasks and build the resident model."""
        return build_worker(build_parts(self.config))


def build_worker(parts: Parts) -> CandidateWorker:
    """Return a worker with a resident model of the base's architecture."""
    from evomerge.workers.experts import Experts
    from evomerge.workers.worker import Worker

    resident = build_resident(parts.config, parts.parents)
    alone = {landmark.name: landmark.recipe for landmark in parts.space.landmarks()}
    return Worker(resident, parts.fitness, Experts(resident, parts.fitness, alone).learn)


def _base_model(config: CampaignConfig, parents: Parents) -> nn.Module:
    resident = build_resident(config, parents)
    alone = {landmark.name: landmark.recipe for landmark in build_space(config, parents).landmarks()}
    resident.become(alone[config.base_name])
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
        return InProcessPool(lambda: build_worker(parts))
    from evomerge.workers.ray_pool import RayPool

    return RayPool(
        MakeWorker(parts.config),
        count=workers.count,
        run_dir=run_dir,
        cpus=workers.cpus,
        gpus=(1.0 if torch.cuda.is_available() else 0.0) if workers.gpus is None else workers.gpus,
        address=workers.address,
        deadline_s=workers.deadline_seconds,
    )
