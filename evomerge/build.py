"""From a campaign's config to the objects that carry it out: the only place that knows which name means what."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from evomerge.config import CampaignConfig
from evomerge.optimisers.protocol import Optimiser
from evomerge.workers.protocol import CandidateWorker, WorkerPool
from evomerge.workers.threads import available_cores, threads_per_worker
from fitness.estimators import MeanEstimator, Objective
from fitness.scores import SPLITS, ItemScores
from fitness.statistics import Difference, paired_difference
from fitness.tasks.sources import load_tasks, make_suite
from fitness.tasks.suite import TaskSuite
from search_spaces.groups import Groups, n_layers
from search_spaces.recipe import Input, ParentSource, Recipe, Rule
from search_spaces.weight_space import WeightSpace
from search_spaces.weights.parents import Parents
from search_spaces.weights.preflight import Preflight, preflight

if TYPE_CHECKING:
    import torch
    from torch import nn

    from search_spaces.weights.resident import ResidentModel

Genome = NDArray[np.float64]
DEFAULT_POPULATION = 24


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
    def space(self) -> WeightSpace:
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
    parents = Parents.open(config.sources)
    loaded = load_tasks(
        [task for objective in config.objectives for task in objective.tasks],
        include_path=config.lm_eval.include_path,
    )
    suite = make_suite(
        [task for group in loaded.values() for task in group],
        tokenizer_dir=parents[config.base_name].directory,
        shares={split: getattr(config.splits, split) for split in SPLITS},
        seed=config.seed,
    )
    objectives = tuple(
        Objective(o.name, tuple(task.name for source in o.tasks for task in loaded[source]), o.weight)
        for o in config.objectives
    )
    return Parts(config, parents, suite, objectives)


def build_space(config: CampaignConfig, parents: Parents) -> WeightSpace:
    """Return the search space of a config.

    Raises:
        SpaceError: the genes do not fit the operators, or there are more blocks than layers.
    """
    groups = config.space.groups
    return WeightSpace(
        config.sources,
        config.base_name,
        n_layers=n_layers(parents[config.base_name].names),
        operators=config.space.operator,
        groups=Groups(groups.layer_blocks, tuple(groups.modules), groups.depth),
        genes=config.space.genes,
        dtype=config.export.dtype,
        seed=config.seed,
        merge_base=config.base is None,
    )


def build_optimiser(config: CampaignConfig, dim: int) -> Optimiser[Genome]:
    """Return a fresh optimiser of a config.

    Raises:
        OptimiserError: an option that the library does not have, or nothing to search.
    """
    chosen = config.optimiser
    if chosen.kind == "random":
        from evomerge.optimisers.errors import OptimiserError
        from evomerge.optimisers.random_search import RandomSearch

        if chosen.options:
            raise OptimiserError(f"optimiser: expected no options with kind random, found {sorted(chosen.options)}")
        return RandomSearch(dim, seed=config.seed)
    if chosen.kind == "cma_es":
        from evomerge.optimisers.cma_es import CmaEs

        options = dict(chosen.options)
        own = {name: options.pop(name) for name in ("x0", "sigma0", "incpopsize") if name in options}
        weights = {o.name: o.weight for o in config.objectives}
        return CmaEs(dim, weights=weights, seed=config.seed, population=chosen.population, options=options, **own)
    from evomerge.optimisers.pymoo_adapter import PymooOptimiser

    return PymooOptimiser(
        dim,
        n_objectives=len(config.objectives),
        seed=config.seed,
        algorithm=chosen.kind,
        population=chosen.population or DEFAULT_POPULATION,
        options=chosen.options,
        starts=[np.full(dim, 0.5)],  # the middle of every range, where CMA-ES starts too
    )


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
    import torch

    from evomerge.workers.worker import Worker

    dtype = getattr(torch, parts.config.export.dtype)
    on_gpu = torch.cuda.is_available() and parts.config.workers.gpus != 0
    return Worker(build_resident(parts.parents, parts.config.base_name, dtype, on_gpu=on_gpu), parts.fitness)


def build_resident(parents: Parents, base: str, dtype: torch.dtype, *, on_gpu: bool) -> ResidentModel:
    """Return a resident model that computes in `dtype` on the GPU, or in float32 on the CPU.

    float32 holds the values of every recipe's dtype exactly.
    """
    from search_spaces.weights.architecture import build_module
    from search_spaces.weights.resident import ResidentModel

    if on_gpu:
        return ResidentModel(build_module(parents[base], compute_dtype=dtype).to("cuda"), parents)
    return ResidentModel(build_module(parents[base]), parents)


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


def load_checkpoint(model: str) -> tuple[nn.Module, Parents]:
    """Return one checkpoint as a live model, for `evomerge eval`.

    Raises:
        SpaceError: it cannot be read.
    """
    import torch

    source = ParentSource(model)
    parents = Parents.open({"model": source})
    resident = build_resident(parents, "model", torch.float32, on_gpu=torch.cuda.is_available())
    resident.become(Recipe({"model": source}, "model", (Rule("passthrough", (Input("model"),)),), dtype="float32"))
    return resident.model, parents
