"""One search of an emulated world, by evomerge's own loop: what the winner and the front are truly worth."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

import evomerge as em
from evomerge.archive import Archive
from evomerge.campaign.campaign import Campaign
from evomerge.campaign.progress import Limits
from evomerge.kinds import Kinds
from evomerge.optimisers.after_landmarks import AfterLandmarks
from evomerge.optimisers.in_generations import InGenerations
from evomerge.optimisers.registry import OPTIMISERS
from evomerge.results.front import read_front
from evomerge.results.pooled import note_objectives
from evomerge.results.verification.contenders import contenders
from evomerge.schedules.options import SCHEDULES
from evomerge.schedules.protocol import ScheduleContext
from evomerge.workers.in_process import InProcessPool
from experiments.surrogate_benchmark.emulator import World, places
from fitness import Budget, MeanEstimator, Objective, Split, Splits
from search_spaces import Landmark, WeightSpace
from search_spaces.spaces.known_merges import genome_of

Floats = NDArray[np.float64]
S = TypeVar("S", bound=BaseModel)
Setting = Literal["mean", "front"]
MIDDLE = "middle"
SHARES: Mapping[Split, float] = {"search": 0.4, "validation": 0.2, "test": 0.4}
_MEMORY = "/dev/shm"  # archives that nobody reads again need no disk
TOP = 5  # as `evomerge verify`


@dataclass(frozen=True)
class Row:
    """What one search had found after so many evaluations.

    Attributes:
        winner: true mean over tasks, on test items, of the candidate that validation items chose.
        hypervolume: of the front that search items show, in true scores on test items, to the origin.
        best_parent: true mean of the best of the parents on test items.
    """

    matrix: str
    setting: Setting
    search: str
    seed: int
    evaluations: int
    answers: int
    winner: float
    hypervolume: float
    best_parent: float


@dataclass(frozen=True)
class Given:
    """What is searched.

    Attributes:
        items: that a candidate answers at most.
    """

    matrix: str
    space: WeightSpace
    setting: Setting
    items: int

    def objectives(self, world: World) -> list[Objective]:
        """Return one objective of all tasks, or one for each."""
        tasks = tuple(world.emulator.tasks)
        return [Objective("mean", tasks)] if self.setting == "mean" else [Objective(task, (task,)) for task in tasks]


class EmulatedModels:
    """Scores candidates in an emulated world; landmarks that real models answered for answer as these did."""

    def __init__(self, world: World, space: WeightSpace, splits: Splits) -> None:
        self.world, self.splits, self._space = world, splits, space
        self._items = world.emulator.items
        self.answers = 0

    def evaluate(self, candidate: em.Candidate, budget: Budget) -> em.Scored:
        """Return the answers to the budget's items."""
        items = self.splits.select(budget)
        self.answers += len(items)
        at = places(self._items, items)
        known = self.world.emulator.landmarks.get(candidate.label or "")
        values = known[at] if known is not None else self.world.answers(self._genome(candidate)[None], at)[0]
        return em.Scored(candidate, em.ItemScores(items, values), 0.0)

    def evaluate_together(self, candidates: Sequence[em.Candidate], budget: Budget) -> list[em.Scored | em.Failure]:
        """Return the answers of each."""
        return [self.evaluate(candidate, budget) for candidate in candidates]

    def truth(self, candidate: em.Candidate) -> Floats:
        """Return (n_tasks,) true scores on test items: of landmarks what the real models scored."""
        known = self.world.emulator.landmarks.get(candidate.label or "")
        scores = known if known is not None else self.world.probabilities(self._genome(candidate)[None])[0]
        items = self.splits.items["test"]
        tasks = np.array([item.partition("/")[0] for item in items])
        at = places(self._items, items)
        return np.array([scores[at[tasks == name]].mean() for name in self.world.emulator.tasks])

    def _genome(self, candidate: em.Candidate) -> Floats:
        genome = candidate.genome if candidate.genome is not None else genome_of(self._space, candidate.recipe)
        assert genome is not None, "landmarks without a genome are in the matrix"
        return np.asarray(genome, dtype=np.float64)


def search(given: Given, world: World, seed: int, *, name: str, sections: Mapping[str, Any], evaluations: int) -> Row:
    """Search once, and return what was found."""
    splits = _splits(world, seed)
    models = EmulatedModels(world, given.space, splits)
    with tempfile.TemporaryDirectory(dir=_MEMORY if Path(_MEMORY).is_dir() else None) as directory:
        archive = Archive.create(Path(directory) / "archive.sqlite", f"name: {name}\n")
        estimator = MeanEstimator(given.objectives(world), task_of=_task_of(splits), splits=splits)
        _campaign(given, archive, models, estimator, seed, sections=sections, evaluations=evaluations).run()
        answers = models.answers
        front = [models.truth(point.candidate) for point in read_front(archive).points]
        best_parent = max(models.truth(c).mean() for c in archive.landmarks() if c.label in c.recipe.parents)
        winner = float(models.truth(_winner(archive, models, estimator)).mean())
        archive.close()
    return Row(
        given.matrix,
        given.setting,
        name,
        seed,
        evaluations,
        answers,
        winner,
        _hypervolume(np.array(front)),
        float(best_parent),
    )


def _task_of(splits: Splits) -> dict[str, str]:
    return {item: item.partition("/")[0] for item in splits.item_ids}


def _splits(world: World, seed: int) -> Splits:
    of_task: dict[str, list[str]] = {name: [] for name in world.emulator.tasks}
    for item in world.emulator.items:
        task, _, own = item.partition("/")
        of_task[task].append(own)
    return Splits.draw_by_place(of_task, shares=SHARES, seed=seed)


def _campaign(
    given: Given,
    archive: Archive,
    models: EmulatedModels,
    estimator: MeanEstimator,
    seed: int,
    *,
    sections: Mapping[str, Any],
    evaluations: int,
) -> Campaign[Any]:
    """Return a campaign as `evomerge.search` would assemble it, with the space's landmarks and its middle."""
    options, space = _section(OPTIMISERS, sections["optimiser"]), given.space
    objectives, task_of = given.objectives(models.world), _task_of(models.splits)
    note_objectives(archive, objectives)
    schedule = _section(
        SCHEDULES, sections.get("schedule", {"kind": "own_items" if options.pools_items else "all_items"})
    )
    weights = {objective.name: 1.0 for objective in objectives}
    everything = models.splits.items["search"]
    problem = em.optimisers.Problem(
        space,
        seed,
        weights,
        evaluations,
        tasks={objective.name: objective.tasks for objective in objectives},
        task_of={item: task_of[item] for item in everything},
    )
    n_landmarks = len(space.landmarks()) + 1
    items = everything if schedule.own_items else everything[: given.items]
    context = ScheduleContext(
        archive,
        Budget("search", items),
        items,
        estimator=estimator,
        task_of=task_of,
        weights=weights if options.maximises_mean or len(weights) == 1 else None,
        missed=lambda _: 0.0,
        own=given.items if schedule.own_items else None,
        seed=seed,
        told_of_all=options.learns_from_stopped,
    )

    def build(problem: em.optimisers.Problem) -> em.optimisers.Optimiser[Any]:
        made = options.build(problem)
        whole = options.generation is None or not schedule.stops_early
        return made if whole else InGenerations(made, options.generation or 1, problem.scored)

    return Campaign(
        archive,
        space,
        AfterLandmarks(problem, build, partial(genome_of, space), n_landmarks)
        if options.begins_at_landmarks
        else build(problem),
        estimator=estimator,
        pool=InProcessPool(lambda: models),
        limits=Limits(evaluations),
        schedule=schedule.build(context),
        landmarks=[Landmark(MIDDLE, space.decode(space.start()))],
    )


def _section(kinds: Kinds[S], section: Mapping[str, Any]) -> S:
    return kinds.named(section["kind"]).model_validate(section)


def _winner(archive: Archive, models: EmulatedModels, estimator: MeanEstimator) -> em.Candidate:
    candidates = contenders(archive, TOP)
    scored = [estimator.estimate(models.evaluate(one, Budget("validation")).scores).mean for one in candidates]
    return candidates[int(np.argmax(scored))]


def _hypervolume(values: Floats) -> float:
    import moocore

    return float(moocore.hypervolume(values, ref=np.zeros(values.shape[1]), maximise=True))
