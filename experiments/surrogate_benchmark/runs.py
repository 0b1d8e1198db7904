"""One search of an emulated world, by evomerge's own loop: what the winner and the front are truly worth."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
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
from evomerge.schedules.options import SCHEDULES, ScheduleOptions
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


@dataclass(frozen=True, eq=False)
class Search:
    """One search: who searches what, by which sections of a campaign file, with which seed."""

    given: Given
    world: World
    seed: int
    name: str
    sections: Mapping[str, Any]
    evaluations: int

    def run(self) -> Row:
        """Search, and return what was found."""
        given, splits = self.given, self._splits
        models = EmulatedModels(self.world, given.space, splits)
        with tempfile.TemporaryDirectory(dir=_MEMORY if Path(_MEMORY).is_dir() else None) as directory:
            archive = Archive.create(Path(directory) / "archive.sqlite", f"name: {self.name}\n")
            objectives = given.objectives(self.world)
            note_objectives(archive, objectives)
            estimator = MeanEstimator(objectives, task_of=_task_of(splits.item_ids), splits=splits)
            self._campaign(archive, models, estimator).run()
            answers = models.answers
            front = [models.truth(point.candidate) for point in read_front(archive).points]
            best_parent = max(models.truth(c).mean() for c in archive.landmarks() if c.label in c.recipe.parents)
            winner = float(models.truth(_winner(archive, models, estimator)).mean())
            archive.close()
        named = (given.matrix, given.setting, self.name, self.seed, self.evaluations)
        return Row(*named, answers, winner, _hypervolume(np.array(front)), float(best_parent))

    def _campaign(self, archive: Archive, models: EmulatedModels, estimator: MeanEstimator) -> Campaign[Any]:
        """Return a campaign as `evomerge.search` would assemble it, with the space's landmarks and its middle."""
        options, space = self._options, self.given.space
        problem, n_landmarks = self._problem(models.splits.items["search"]), len(space.landmarks()) + 1
        return Campaign(
            archive,
            space,
            AfterLandmarks(problem, self._built, partial(genome_of, space), n_landmarks)
            if options.begins_at_landmarks
            else self._built(problem),
            estimator=estimator,
            pool=InProcessPool(lambda: models),
            limits=Limits(self.evaluations),
            schedule=self._schedule.build(self._context(archive, models.splits.items["search"], estimator)),
            landmarks=[Landmark(MIDDLE, space.decode(space.start()))],
        )

    def _problem(self, items: Sequence[str]) -> em.optimisers.Problem:
        tasks = {objective.name: objective.tasks for objective in self.given.objectives(self.world)}
        weights = dict.fromkeys(tasks, 1.0)
        return em.optimisers.Problem(
            self.given.space, self.seed, weights, self.evaluations, tasks=tasks, task_of=_task_of(items)
        )

    def _context(self, archive: Archive, everything: tuple[str, ...], estimator: MeanEstimator) -> ScheduleContext:
        own, options, n_items = self._schedule.own_items, self._options, self.given.items
        items = everything if own else everything[:n_items]
        weights = {objective.name: 1.0 for objective in self.given.objectives(self.world)}
        return ScheduleContext(
            archive,
            Budget("search", items),
            items,
            estimator=estimator,
            task_of=_task_of(everything),
            weights=weights if options.maximises_mean or len(weights) == 1 else None,
            missed=lambda _: 0.0,
            own=n_items if own else None,
            seed=self.seed,
            told_of_all=options.learns_from_stopped,
        )

    def _built(self, problem: em.optimisers.Problem) -> em.optimisers.Optimiser[Any]:
        made, generation = self._options.build(problem), self._options.generation
        if generation is None or not self._schedule.stops_early:
            return made
        return InGenerations(made, generation, problem.scored)

    @cached_property
    def _options(self) -> em.optimisers.OptimiserOptions:
        return _section(OPTIMISERS, self.sections["optimiser"])

    @cached_property
    def _schedule(self) -> ScheduleOptions:
        usual = {"kind": "own_items" if self._options.pools_items else "all_items"}
        return _section(SCHEDULES, self.sections.get("schedule", usual))

    @property
    def _splits(self) -> Splits:
        of_task: dict[str, list[str]] = {name: [] for name in self.world.emulator.tasks}
        for item in self.world.emulator.items:
            task, _, own = item.partition("/")
            of_task[task].append(own)
        return Splits.draw_by_place(of_task, shares=SHARES, seed=self.seed)


def _task_of(items: Sequence[str]) -> dict[str, str]:
    return {item: item.partition("/")[0] for item in items}


def _section(kinds: Kinds[S], section: Mapping[str, Any]) -> S:
    return kinds.named(section["kind"]).model_validate(section)


def _winner(archive: Archive, models: EmulatedModels, estimator: MeanEstimator) -> em.Candidate:
    candidates = contenders(archive, TOP)
    scored = [estimator.estimate(models.evaluate(one, Budget("validation")).scores).mean for one in candidates]
    return candidates[int(np.argmax(scored))]


def _hypervolume(values: Floats) -> float:
    import moocore

    return float(moocore.hypervolume(values, ref=np.zeros(values.shape[1]), maximise=True))
