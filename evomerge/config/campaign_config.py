"""The campaign file's keys, checked against each other; each section is checked in a file of its own."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field, ValidationInfo, field_validator, model_validator

from evomerge.config.further_landmarks import FURTHER_NAMES, Landmarks
from evomerge.config.kinds import OPTIMISER_NAMES, OptimiserSection, ScheduleSection, SpaceSection
from evomerge.config.merges import MergeConfig, merge_problems
from evomerge.config.objectives import (
    LmEvalConfig,
    ObjectiveConfig,
    PromptsConfig,
    ReducedSource,
    SplitsConfig,
    VerificationConfig,
    bound_problems,
    expert_problems,
    group_problems,
)
from evomerge.config.paths import directory_of
from evomerge.config.questions import QuestionsConfig, question_problems
from evomerge.config.schedules import schedule_problems
from evomerge.config.sections import (
    BaseSource,
    BudgetConfig,
    DirectoryName,
    EngineConfig,
    ExportConfig,
    ParentConfig,
    ParentSourceConfig,
    StageConfig,
    Trackers,
    WorkersConfig,
    name_problems,
)
from evomerge.config.statistics import StatisticsConfig
from evomerge.config.suitable import suitable_optimiser, suitable_schedule
from evomerge.fields import SECTION, Flag, Seed, Text
from evomerge.optimisers import OptimiserOptions
from evomerge.plugins import PluginError, load_plugin
from evomerge.schedules import ScheduleOptions
from evomerge.spaces import Niches, SpaceOptions, Weights
from evomerge.wording import in_words, mismatch, refuse
from fitness.tasks.asking import Asking
from search_spaces.recipes.recipe import OutputTokenizer, ParentSource

BASE = "base"
RESERVED_NAMES = ("uniform mean", "default TIES", *FURTHER_NAMES)
_EXAMPLE_PARENTS = ["./experts/arithmetic", "./experts/words"]
_LINEAR = Weights("task_arithmetic", genes={"weight": (-1.0, 2.0)})  # what descents search where no space is said
_EXAMPLE_OBJECTIVES = [{"name": "words", "tasks": ["tasks/words.jsonl"]}]


class CampaignConfig(BaseModel):
    """One search, from its inputs to its export."""

    model_config = SECTION

    name: DirectoryName = "campaign"
    """What the run directory and the report are called; left out: the file's name, or its directory's."""
    base: BaseSource | None = None
    """The model the parents were fine-tuned from. It gives config and tokenizer; without it the first parent does."""
    parents: tuple[ParentSourceConfig, ...] = Field(min_length=2, examples=[_EXAMPLE_PARENTS])
    """The models to merge."""
    merges: tuple[MergeConfig, ...] = ()
    """Merges of the parents that join them, each carried out once and written into the run directory:
    [{name: regmean, operator: regmean}], {name: mine, recipe: merge.yml}, {name: learned, descent: {per: column}}."""
    tokenizer: Literal["strict", "base", "union"] = "strict"
    """strict: every parent has the base's tokens. base: the base's tokens, each parent's rows found by token. union:
    the base's tokens and all the others'."""
    allow_differences: tuple[Text, ...] = ()
    """Keys of config.json in which the parents may differ: [rope_theta], or [model_type] for llama with mistral, whose
    tensors are the same. The merge takes the base's. [locked] lets parents join whose authors made merges of them
    worthless."""
    trust_remote_code: Flag = False
    """Whether custom code beside the base (modeling_*.py) is copied into exports, where others may run it; it is never
    run here. false: exports leave out auto_map, which names it."""
    space: SpaceSection = Field(default_factory=Weights, validate_default=True)
    """What can be built of the parents."""
    objectives: tuple[ObjectiveConfig, ...] = Field(min_length=1, examples=[_EXAMPLE_OBJECTIVES])
    """What to be good at; all are maximised."""
    prompts: PromptsConfig = PromptsConfig()
    questions: QuestionsConfig = QuestionsConfig()
    splits: SplitsConfig = SplitsConfig()
    statistics: StatisticsConfig = Field(default_factory=StatisticsConfig, validate_default=True)
    allow_benchmark_test_sets: Flag = False
    """Whether objectives may be lm-eval tasks with items of a published benchmark's own test set; the card says so."""
    verification: VerificationConfig = VerificationConfig()
    reduced: ReducedSource | None = None
    """A file of `evomerge reduce`: candidates are scored on its few search items instead of all."""
    estimator: Text | None = None
    """What makes objectives of item scores, of another package: an entry point of evomerge.estimators or module:name,
    called with those of objectives, task_of and splits that it asks for; left out: means, or what `reduced` says."""
    budget: BudgetConfig = BudgetConfig()
    optimiser: OptimiserSection = Field(
        default_factory=suitable_optimiser, validate_default=True, validation_alias=OPTIMISER_NAMES
    )
    """Left out: bayes for weights with at most 300 evaluations; else cma_es for one objective, nsga2 for several; m2n2
    in a space of kind niches."""
    stages: tuple[StageConfig, ...] = ()
    """Searches that follow each other, the winner of each a parent of the next; space and optimiser are theirs then."""
    landmarks: Landmarks = "auto"
    """What is scored first besides parents, their uniform mean and default TIES: a list of operators, each at its
    defaults (task_arithmetic: at the scales 0.3, 0.5, 0.7 and 1), and gradient, where a descent on the space's own
    groups ends; or none. auto: regmean, wudi, task_arithmetic and gradient, as far as all landmarks together are at
    most a third of the evaluations, and preparing one takes less than a tenth of the search. cma_es and pymoo's
    algorithms begin at the best that the space can express, unless it is none."""
    schedule: ScheduleSection = Field(default_factory=suitable_schedule, validate_default=True)
    """Who answers which items: all_items; own_items (each budget.items of its own); halving (the better part of each
    generation goes on to twice the items) or screen (agreement with the experts comes first), or {kind: halving, first:
    0.125, keep: 0.5}. Left out: all_items, or with optimiser bayes and budget.items own_items."""
    workers: WorkersConfig = WorkersConfig()
    engine: EngineConfig = EngineConfig()
    answers: Literal["front", "all", "none"] = "front"
    """Whose answers to items are kept in the archive, for `evomerge answers` and the studio: those of the front, of
    every landmark and of whoever is verified; those of all candidates; or nobody's."""
    seed: Seed = 0
    """Seeds everything random: the same file gives the same search."""
    export: ExportConfig = ExportConfig()
    track: Trackers = ()
    """Who is shown the search while it runs: wandb, mlflow, tensorboard, trackio; one, or a list. It waits for none."""
    lm_eval: LmEvalConfig = LmEvalConfig()

    @property
    def base_name(self) -> str:
        """The name of the model that donates config and tokenizer: `base`, or the first parent.

        Without a base the first parent donates and is merged as well.
        """
        return BASE if self.base else self.parents[0].name

    @property
    def sources(self) -> dict[str, ParentSource]:
        """Name -> source of every checkpoint, the base first when there is one."""
        base = {BASE: self.base.source} if self.base else {}
        return base | {parent.name: parent.source for parent in self.parents}

    @property
    def groups(self) -> dict[str, str]:
        """Task -> the field that groups its items, where an objective says one."""
        return {task: one.group for one in self.objectives if one.group is not None for task in one.tasks}

    @property
    def asking(self) -> dict[str, Asking]:
        """Task -> how its file's rows become questions."""
        said = [(one.tasks, one.questions or QuestionsConfig()) for one in self.objectives]
        return {task: questions.over(self.questions) for tasks, questions in said for task in tasks}

    @property
    def output_tokenizer(self) -> OutputTokenizer:
        """The tokenizer of every candidate."""
        return OutputTokenizer(None if self.tokenizer == "strict" else self.tokenizer)

    @field_validator("parents")
    @classmethod
    def _have_names_of_their_own(
        cls, parents: tuple[ParentConfig, ...], info: ValidationInfo
    ) -> tuple[ParentConfig, ...]:
        hint = "write {model: " + "..., name: ...} with another name"
        problems = []
        for i, parent in enumerate(parents):
            expected = ""
            if parent.name in RESERVED_NAMES or (parent.name == BASE and info.data.get("base") is not None):
                expected = "a name that is not taken by the program"
            elif parent.name in [other.name for other in parents[:i]]:
                expected = "a name that no other parent has"
            if expected:
                problems.append(mismatch(expected, in_words(parent.name), hint, at=[i, "name"]))
        if problems:
            refuse(problems)
        return parents

    @field_validator("merges")
    @classmethod
    def _know_the_parents(cls, merges: tuple[MergeConfig, ...], info: ValidationInfo) -> tuple[MergeConfig, ...]:
        parents = [parent.name for parent in info.data.get("parents", ())]
        has_base = info.data.get("base") is not None
        taken = (*RESERVED_NAMES, *([BASE] if has_base else []))
        if parents and (problems := merge_problems(merges, parents, taken, has_base=has_base)):
            refuse(problems)
        return merges

    @field_validator("space")
    @classmethod
    def _suit_the_parents(cls, space: SpaceOptions, info: ValidationInfo) -> SpaceOptions:
        parents = [parent.name for parent in info.data["parents"]] if "parents" in info.data else None
        if parents is not None:
            parents += [merge.name for merge in info.data.get("merges", ())]
        base = [BASE] if info.data.get("base") else []
        if problems := space.problems(parents, base if "base" in info.data else None):
            refuse(problems)
        return space

    @field_validator("objectives")
    @classmethod
    def _suit_each_other_and_the_checkpoints(
        cls, objectives: tuple[ObjectiveConfig, ...], info: ValidationInfo
    ) -> tuple[ObjectiveConfig, ...]:
        names = [objective.name for objective in objectives]
        problems = [
            mismatch("a name that no other objective has", in_words(name), at=[i, "name"])
            for i, name in enumerate(names)
            if name in names[:i]
        ]
        if objectives and all(objective.cost for objective in objectives):
            problems.append(mismatch("an objective with tasks", "costs alone", "a model that does nothing costs least"))
        known = [parent.name for parent in info.data["parents"]] if "parents" in info.data else None
        if known is not None:
            known += [merge.name for merge in info.data.get("merges", ())]
            known += [BASE] if info.data.get("base") else []
        named = [*expert_problems(objectives, known), *bound_problems(objectives, known), *group_problems(objectives)]
        named += question_problems([(one.tasks, one.questions) for one in objectives if one.cost is None])
        if problems := problems or named:
            refuse(problems)
        return objectives

    @field_validator("stages")
    @classmethod
    def _know_each_other(cls, stages: tuple[StageConfig, ...], info: ValidationInfo) -> tuple[StageConfig, ...]:
        parents = tuple(one.name for one in (*info.data.get("parents", ()), *info.data.get("merges", ())))
        if problems := name_problems(stages, (*parents, *RESERVED_NAMES, BASE)):
            refuse(problems)
        return stages

    @field_validator("statistics")
    @classmethod
    def _suit_parents_and_space(cls, statistics: StatisticsConfig, info: ValidationInfo) -> StatisticsConfig:
        parents = [parent.name for parent in info.data["parents"]] if "parents" in info.data else None
        space = info.data.get("space")
        if problems := statistics.problems(parents, () if space is None else space.statistics):
            refuse(problems)
        return statistics

    @field_validator("splits")
    @classmethod
    def _sum_to_at_most_one(cls, splits: SplitsConfig) -> SplitsConfig:
        shares = splits.shares
        total = sum(shares.values())
        if total > 1 + 1e-9:
            found = f"{total:g} ({' + '.join(f'{name} {share:g}' for name, share in shares.items())})"
            refuse([mismatch("shares that sum to at most 1", found)])
        return splits

    @model_validator(mode="before")
    @classmethod
    def _fill_in_and_leave_out(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        if data.get("racing") is not None:
            hint = "races, rungs and rotation are gone: write schedule: halving, or {kind: screen, then: halving}"
            refuse([mismatch("the key schedule", "'racing'", f"{hint} with its screen", at=["racing"])])
        data = {key: value for key, value in data.items() if key != "racing"}  # of an older evomerge
        if "space" in data:
            return data
        optimiser = data.get("optimiser", data.get("optimizer"))
        kind = optimiser.get("kind") if isinstance(optimiser, dict) else getattr(optimiser, "kind", optimiser)
        fitting = {"m2n2": Niches(), "cycle_qd": Niches(), "gradient": _LINEAR, "frank_wolfe": _LINEAR}
        return {**data, "space": fitting[kind]} if isinstance(kind, str) and kind in fitting else data

    @field_validator("engine")
    @classmethod
    def _has_layers_as_the_space(cls, engine: EngineConfig, info: ValidationInfo) -> EngineConfig:
        spaces = [info.data.get("space"), *(stage.space for stage in info.data.get("stages", ()))]
        if engine.kind == "vllm" and any(space is not None and space.has_paths for space in spaces):
            hint = "vLLM cannot change a model's layers; leave kind out"
            refuse([mismatch("auto or trie with a space of layers", "vllm", hint, at=["kind"])])
        return engine

    @field_validator("budget")
    @classmethod
    def _chooses_items_once(cls, budget: BudgetConfig, info: ValidationInfo) -> BudgetConfig:
        if budget.items is not None and info.data.get("reduced") is not None:
            refuse([mismatch("no such key beside reduced", str(budget.items), "write reduced.items", at=["items"])])
        return budget

    @field_validator("estimator")
    @classmethod
    def _can_be_loaded(cls, estimator: str | None, info: ValidationInfo) -> str | None:
        if estimator is not None and directory_of(info) is not None:
            try:
                load_plugin("evomerge.estimators", estimator)
            except PluginError as error:
                refuse([mismatch(error.expected, error.found, error.hint)])
        return estimator

    @field_validator("optimiser")
    @classmethod
    def _suits_the_space_and_the_objectives(cls, optimiser: OptimiserOptions, info: ValidationInfo) -> OptimiserOptions:
        space = info.data.get("space")
        if space is not None and "any" not in (space.genomes, optimiser.genomes) and space.genomes != optimiser.genomes:
            hint = "m2n2, cycle_qd and a space of kind niches belong together; leave one of them out"
            expected = f"an optimiser for a space of kind {space.kind}"
            refuse([mismatch(expected, in_words(optimiser.kind), hint, at=["kind"])])
        if space is not None and (problems := optimiser.space_problems(space)):
            refuse(problems)
        objectives = info.data.get("objectives")
        if optimiser.maximises_mean and objectives and all(o.weight == 0 for o in objectives):
            hint = f"{optimiser.kind} maximises their weighted mean"
            refuse([mismatch("an objective with weight > 0", "none", hint, at=["kind"])])
        return optimiser

    @field_validator("schedule")
    @classmethod
    def _suits_the_optimiser_and_the_budget(cls, schedule: ScheduleOptions, info: ValidationInfo) -> ScheduleOptions:
        if problems := schedule_problems(schedule, info.data):
            refuse(problems)
        return schedule
