"""A campaign's workers: each with one resident model."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evomerge.assembly.building import build_parts
from evomerge.assembly.engines import worker_resident
from evomerge.assembly.gpus import gpus_each
from evomerge.assembly.informed import with_statistics
from evomerge.assembly.live_models import parents_alone
from evomerge.assembly.parts import Parts
from evomerge.campaign.inputs import Inputs
from evomerge.campaign.places import places_of
from evomerge.campaign.run_directory import RunDirectory
from evomerge.config import dump_campaign, read_campaign
from evomerge.errors import few_lines, require
from evomerge.workers import CandidateWorker, InProcessPool, Worker, WorkerPool
from evomerge.workers.measured import Measured
from evomerge.workers.protocol import WorkerSetupError
from evomerge.workers.worker import Resident, ScoreTogether, ScreeningWorker
from fitness.errors import FitnessError
from fitness.scores import Budget, ItemScores
from fitness.screening import Screening
from fitness.tasks.suite import TaskSuite
from search_spaces.recipes.recipe import ParentSource, Recipe
from search_spaces.spaces.space import SearchSpace

if TYPE_CHECKING:
    from torch import nn

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class MakeWorker:
    """Makes a campaign's worker in the process where it is called; small and picklable.

    Attributes:
        campaign: the resolved config as YAML, which travels whatever classes it consists of.
        given: the search space where it is an object.
        owners: task -> the parent that reads its prompts for statistics, as the driver found.
        also_read: operators beside the space's that read statistics.
        places: as in `Parts`.
        inputs: what the driver's parents and tasks are; None where it does not matter.
        tokens: where token ids of the tasks lie on machines that share the run directory; None: they make their own.
    """

    campaign: str
    given: SearchSpace[Any] | None = None
    owners: Mapping[str, str] = field(default_factory=dict)
    also_read: tuple[str, ...] = ()
    places: Mapping[str, ParentSource] = field(default_factory=dict)
    inputs: Inputs | None = None
    tokens: Path | None = None

    def __call__(self) -> CandidateWorker:
        """Open the parents, load the tasks and build the resident model.

        Raises:
            WorkerSetupError: this machine has other parents or tasks than the driver's.
        """
        # A machine that has no statistics yet collects them for itself.
        parts = build_parts(read_campaign(self.campaign), self.given, self.places, self.tokens)
        changes = [] if self.inputs is None else self.inputs.changes(parts.inputs)
        if changes:
            raise WorkerSetupError(
                f"workers: expected on {socket.gethostname()} the parents and tasks that this search has, found "
                f"others:\n{few_lines([f'  {change}' for change in changes], 3)}\nput the same files there"
            )
        return build_worker(with_statistics(replace(parts, also_read=self.also_read), self.owners))


def build_worker(parts: Parts) -> CandidateWorker:
    """Return a worker with a resident model of the base's architecture; the experts answer once, before candidates."""
    from fitness.engine.trie import TrieLanguageModel

    resident, suite, screening = worker_resident(parts), parts.fitness, parts.screening
    alone = parents_alone(parts.config, parts.parents)

    def become(checkpoint: str) -> nn.Module:
        resident.become(alone[checkpoint])
        return resident.model

    def learn(budget: Budget) -> None:
        for expert, items in suite.to_learn(budget).items():
            suite.learn(become(expert), items)

    engine = suite.language_model
    tally = engine.tally if isinstance(engine, TrieLanguageModel) else None
    worker = Worker(resident, suite, learn, _together(resident, suite), tally)
    if screening is None:
        return worker
    screen = Worker(resident, screening, lambda _: screening.learn(become), _together(resident, screening), tally)
    return ScreeningWorker(worker, screen, frozenset(screening.item_ids))


def _together(resident: Resident, fitness: TaskSuite | Screening) -> ScoreTogether | None:
    from search_spaces.live.layer_surgery import FlowResident

    if not isinstance(resident, FlowResident):
        return None

    def score(recipes: Sequence[Recipe], budget: Budget, measured: Measured) -> Sequence[ItemScores | FitnessError]:
        models = resident.assembled(recipes)
        measured.merged()
        return fitness.evaluate_together(models, budget)

    return score


def build_pool(parts: Parts, run_dir: Path, say: Callable[[str], object] = _LOG.warning) -> WorkerPool:
    """Return the pool of workers of a config; `say` tells the user what it waits for."""
    workers, devices = parts.config.workers, parts.config.engine.devices
    if workers.backend == "in_process":
        together = workers.together or parts.config.space.together
        return InProcessPool(lambda: build_worker(parts), together=together)
    require("ray", "ray")
    if (workers.gpus or 0) > max(1, devices):
        say(
            f"workers.gpus: each worker reserves {workers.gpus:g} GPUs and computes on {devices}: write gpus: {devices}"
        )
    from evomerge.workers.ray_pool import RayPool

    return RayPool(
        MakeWorker(
            dump_campaign(parts.config),
            parts.given,
            parts.statistics.owners,
            parts.also_read,
            places_of(parts.config.sources, parts.inputs, parts.places, run_dir),  # the driver's commits on every node
            parts.inputs,
            RunDirectory(run_dir).tokens.absolute(),
        ),
        count=workers.most,
        run_dir=run_dir,
        least=None if workers.max is None else workers.min or 1,
        together=workers.together or 1,
        cpus=workers.cpus,
        gpus=gpus_each(parts.config),
        accelerator=workers.accelerator,
        across_nodes=parts.config.engine.across_nodes,
        address=workers.address,
        deadline_s=workers.deadline_seconds,
        medians=workers.deadline_medians,
        say=say,
    )
