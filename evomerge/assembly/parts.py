"""What a campaign is carried out with: space, optimiser, schedule, estimator, of its opened parts (`building`).

What a space and an optimiser are is for their own options to say (`evomerge.spaces`, `evomerge.optimisers`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from inspect import signature
from typing import TYPE_CHECKING, Any

from evomerge.archive import Archive
from evomerge.assembly.live_models import build_space
from evomerge.assembly.statistics import Statistics
from evomerge.assembly.weighed import Weighed
from evomerge.campaign import Constraints
from evomerge.campaign.inputs import Inputs
from evomerge.config import CampaignConfig
from evomerge.optimisers import Optimiser, Problem
from evomerge.optimisers.after_landmarks import AfterLandmarks
from evomerge.optimisers.in_generations import InGenerations
from evomerge.optimisers.problem import RULES
from evomerge.optimisers.terrain import Course, Notes, NotesInMemory, Terrain
from evomerge.optimisers.without_guards import guards_of
from evomerge.plugins import load_plugin
from evomerge.schedules import ScreenConfig
from evomerge.schedules.protocol import Schedule, ScheduleContext
from fitness.estimation import MeanEstimator, Objective
from fitness.estimation.costs_apart import CostsApart
from fitness.protocols import Estimator
from fitness.reduction.reduced_benchmark import ReducedBenchmark
from fitness.reduction.reduced_estimator import ReducedEstimator
from fitness.scores import Budget, mean_weights
from fitness.screening import Screening
from fitness.statistics import PairedComparison
from fitness.tasks.benchmark_split import PublishedTestSet
from fitness.tasks.suite import TaskSuite
from search_spaces.checks.preflight import Preflight, preflight
from search_spaces.parents.parents import Parents
from search_spaces.recipes.recipe import ParentSource
from search_spaces.spaces.joint import JointSpace
from search_spaces.spaces.known_merges import genome_of, individual_of
from search_spaces.spaces.niches.niche_space import NicheSpace
from search_spaces.spaces.space import SearchSpace
from search_spaces.spaces.weight_space import WeightSpace

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


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
        also_read: operators beside the space's that read statistics, of landmarks.
        statistics: of the parents, as far as they were gathered (`assembly.informed`).
        places: parent -> where its files lie, where that is not where the config says (`campaign.places`).
        tells_guards: whether optimisers are told of guards, as in searches that an older evomerge began.
    """

    config: CampaignConfig
    parents: Parents
    fitness: TaskSuite
    objectives: tuple[Objective, ...]
    reduced: ReducedBenchmark | None = None
    test_sets: Mapping[str, PublishedTestSet] = field(default_factory=dict)
    screening: Screening | None = None
    given: SearchSpace[Any] | None = None
    also_read: tuple[str, ...] = ()
    statistics: Statistics = field(default_factory=Statistics)
    places: Mapping[str, ParentSource] = field(default_factory=dict)
    tells_guards: bool = False

    @cached_property
    def inputs(self) -> Inputs:
        """What parents and tasks are, as digests; every weight is read where no file's digest is kept."""
        return Inputs.of(self.parents, self.fitness)

    @cached_property
    def space(self) -> SearchSpace[Any]:
        """The search space."""
        if self.given is not None:
            return self.given
        return build_space(self.config, self.parents, self.statistics.digests)

    def optimiser(
        self,
        starts: Sequence[NDArray[np.float64]] = (),
        notes: Notes | None = None,
        *,
        after_landmarks: int = 0,
        rules: int = RULES,
    ) -> Optimiser[Any]:
        """Return a fresh optimiser of the config, or one that goes on from what it noted.

        It may begin at the best of so many landmarks; 0: it does not. `rules` are those of proposing.
        """
        optimiser, space = self.config.optimiser, self.space
        problem = replace(self.problem(starts, notes), rules=rules)
        begins = optimiser.begins_at_landmarks and rules >= optimiser.landmarks_since
        if after_landmarks and begins and isinstance(space, WeightSpace | JointSpace):
            return AfterLandmarks(problem, self._build, partial(genome_of, space), after_landmarks)
        if after_landmarks and begins and isinstance(space, NicheSpace):
            return AfterLandmarks(problem, self._build, partial(individual_of, space), after_landmarks)
        return self._build(problem)

    def _build(self, problem: Problem) -> Optimiser[Any]:
        """Return the config's optimiser of a problem, in generations where a schedule needs them."""
        options = self.config.optimiser
        made = options.build(problem)
        if options.generation is None or not self.config.schedule.stops_early:
            return made
        by_item = bool(options.needs_same_items)
        return InGenerations(made, options.generation, problem.scored, by_item=by_item)

    @property
    def guards(self) -> frozenset[str]:
        """Names of the objectives that an optimiser is not told of (see `WithoutGuards`)."""
        return frozenset() if self.tells_guards else guards_of(self.objectives)

    def problem(self, starts: Sequence[NDArray[np.float64]] = (), notes: Notes | None = None) -> Problem:
        """Return what an optimiser may know."""
        config = self.config
        return Problem(
            self.space,
            config.seed,
            self.weights,
            config.budget.evaluations,
            tuple(starts),
            terrain=self._terrain if self.given is None and self.fitness.language_model is not None else None,
            notes=NotesInMemory() if notes is None else notes,
            tasks={o.name: o.tasks for o in self.objectives if o.name not in self.guards},
            task_of=self._searched_items,
        )

    @property
    def weights(self) -> dict[str, float]:
        """Objective -> its weight in the mean, of those that an optimiser is told of."""
        told = [objective for objective in self.objectives if objective.name not in self.guards]
        weights = mean_weights([objective.weight for objective in told])
        return {objective.name: weight for objective, weight in zip(told, weights, strict=True)}

    @property
    def _searched_items(self) -> dict[str, str]:
        """Return item -> task, of the search items of tasks that an optimiser knows objectives of."""
        known = {task for o in self.objectives if o.name not in self.guards for task in o.tasks}
        task_of = self.fitness.task_of
        return {item: task_of[item] for item in self.fitness.splits.items["search"] if task_of[item] in known}

    def _terrain(self, course: Course) -> Terrain:
        from evomerge.assembly.terrain import Setting, build_terrain

        return build_terrain(Setting(self.config, self.parents, self.space, self.fitness, self.objectives), course)

    @cached_property
    def estimator(self) -> Estimator:
        """Item scores -> objectives."""
        splits, task_of = self.fitness.splits, self.fitness.task_of
        if self.config.estimator is not None:
            make = load_plugin("evomerge.estimators", self.config.estimator)
            given = {"objectives": self._no_costs, "task_of": task_of, "splits": splits}
            made: Estimator = make(**{name: given[name] for name in signature(make).parameters if name in given})
            return self._beside_costs(Weighed(made, self.objectives))
        if self.reduced is None or self.config.reduced is None:
            return MeanEstimator(self.objectives, task_of=task_of, splits=splits)
        chosen = None if self.config.reduced.estimator == "auto" else self.config.reduced.estimator
        if chosen is None and self._halves and "p-irt" in self.reduced.bank.estimators:
            chosen = "p-irt"  # the best of those that steered halving in a replay
        reduced = ReducedEstimator(self.reduced, self._no_costs, estimator=chosen, task_of=task_of, splits=splits)
        return self._beside_costs(reduced)

    @property
    def _no_costs(self) -> tuple[Objective, ...]:
        return tuple(objective for objective in self.objectives if objective.cost is None)

    def _beside_costs(self, own: Estimator) -> Estimator:
        if len(self._no_costs) == len(self.objectives):
            return own
        suite = self.fitness
        return CostsApart(own, self.objectives, task_of=suite.task_of, splits=suite.splits)

    @cached_property
    def search_budget(self) -> Budget:
        """The items that candidates are scored on."""
        suite, items = self.fitness, self.fitness.questions(self.fitness.splits.items["search"])
        if self.reduced is not None and self.config.reduced is not None:
            n_items = self.config.reduced.items
            if not self._halves:
                return Budget("search", suite.with_costs(self.reduced.items_for(n_items)))
            # In the seeded order: a halving begins with the first of them.
            chosen = set(items if n_items is None else self.reduced.items_for(n_items))
            return Budget("search", suite.with_costs([item for item in items if item in chosen]))
        n_items = self.config.budget.items
        chosen_first = None if n_items is None or n_items >= len(items) else suite.with_costs(items[:n_items])
        return Budget("search", chosen_first)

    def schedule(self, archive: Archive, constraints: Constraints) -> Schedule:
        """Return who answers which items of the budget, and who may be told."""
        named = [objective.name for objective in self.objectives]
        weights = dict(zip(named, mean_weights([o.weight for o in self.objectives]), strict=True))
        of_mean = self.config.optimiser.maximises_mean or len(weights) - len(guards_of(self.objectives)) == 1
        budget, everything = self.search_budget, self.fitness.splits.items["search"]
        own = len(self.fitness.questions(budget.items or everything)) if self.config.schedule.own_items else None
        if own is not None:
            budget, everything = Budget("search"), self.fitness.questions(everything)
        return self.config.schedule.build(
            ScheduleContext(
                archive,
                budget,
                budget.items or everything,
                estimator=self.estimator,
                task_of=self.fitness.task_of,
                weights=weights if of_mean and any(weights.values()) else None,
                missed=constraints.missed,
                screening=self.screening,
                own=own,
                seed=self.config.seed,
                told_of_all=self.config.optimiser.learns_from_stopped and self.reduced is None,
                bound_by=frozenset(b.landmark for b in constraints.bounds if b.landmark is not None),
                with_costs=self.fitness.with_costs,
            )
        )

    @property
    def _halves(self) -> bool:
        schedule = self.config.schedule
        return (schedule.then if isinstance(schedule, ScreenConfig) else schedule).kind == "halving"

    @cached_property
    def comparison(self) -> PairedComparison:
        """Compares two candidates on the same items."""
        return PairedComparison(self.objectives, self.fitness.task_of, self.fitness.group_of)

    def preflight(self, *, read_weights: bool = True, unmade: Collection[str] = ()) -> Preflight:
        """Compare the parents with the base; reads every weight once to find NaN. See `checks.preflight`."""
        return preflight(
            self.parents,
            self.config.base_name,
            read_weights=read_weights,
            stacked=self.config.space.stacked,
            allowed=self.config.allow_differences,
            unmade=unmade,
        )
