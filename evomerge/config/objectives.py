"""The sections of a campaign file that say what is measured, on which items, and how it is asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, BeforeValidator, Field, JsonValue, Strict, field_validator, model_validator
from pydantic_core import InitErrorDetails

from evomerge.config.bounds import Bound, as_bound, parse_bound
from evomerge.config.paths import DirectoryPath, FilePath, TaskSource
from evomerge.config.questions import QuestionsConfig
from evomerge.fields import SECTION, Real, Share, Text, Whole
from evomerge.wording import did_you_mean, in_words, mismatch, refuse
from fitness.costs import Cost, is_exact, natural
from fitness.signals import Signal
from fitness.tasks import task_source

if TYPE_CHECKING:
    from fitness.scores import Split


def _usual_weight(data: Mapping[str, Any]) -> float | None:
    return 1.0 if data.get("cost") is None else None


class ObjectiveConfig(BaseModel):
    """One thing to be good at, where higher is better, or one to spend little of."""

    model_config = SECTION

    name: Text
    """What tables call it."""
    tasks: tuple[TaskSource, ...] = Field((), examples=[["tasks/words.jsonl"]])
    """Files (JSONL, CSV, TSV, Parquet; lm-eval's YAML), `hf:DATASET[/CONFIG]@SPLIT`, names of lm-eval tasks, each with
    `:METRIC` if not its first one is wanted; or `python:FILE.py:FUNCTION`. `NAME@SPLIT` takes an lm-eval task's items
    from another split of its dataset, as `arc_easy@validation`. The objective is the mean of the tasks. Of a cost,
    whose answers it measures; left out: those of all other objectives that generate."""
    cost: Cost | None = None
    """What to spend little of instead of being good at a task. tokens: generated tokens per item; seconds: per item
    that is asked alone, by the clock, so never the same twice. Exact numbers of the model: depth: layers that are run;
    parameters: millions that are needed; distance: from the base, over the base's norm; density: share of the weights
    that are not the base's."""
    signal: Signal | None = None
    """margin: with schedule own_items, answers come with a number that says how far from wrong they are: of choices the
    log-likelihood of the right one less that of the best other, of exact match that of the right answer (one pass
    more). The pooled model learns from it; nothing else does, and no objective is made of it."""
    expert: Text | None = None
    """The parent that is expert in these tasks: `:js_divergence` and a schedule of kind screen compare with it."""
    group: Text | None = None
    """The field that items on one passage, paraphrases or turns of a conversation have in common: they are in one
    split, and counted as one. Left out: `group` of JSONL items; of lm-eval's documents a passage, context, article,
    story, premise or dialogue. none: every item by itself."""
    questions: QuestionsConfig | None = None
    """How rows of its task files are asked, and when answers are right, where the campaign's `questions` differ."""
    weight: Annotated[Real, Field(ge=0)] | None = Field(default_factory=_usual_weight)
    """Share in the mean that the search maximises, that picks the winner and that verdicts are about; left out: 1, of a
    cost null. 0: a guard, which decides nothing but by its `at_least` or `at_most`: it is no part of the front, and
    optimisers are not told of it. null: it is a part of the front and none of the mean."""
    at_least: Annotated[float | str | None, BeforeValidator(as_bound)] = None
    """A constraint: 0.6, or what a checkpoint reaches on search items, as `base`, `base - 0.01` or `PARENT + 0.02`.
    Candidates that keep all constraints come before all others."""
    at_most: Annotated[float | str | None, BeforeValidator(as_bound)] = None
    """The constraint of a cost: 40 (tokens), or what a checkpoint costs on search items, as `base` or `base + 5`."""
    margin: Annotated[Real, Field(ge=0)] | None = None
    """A difference that does not matter, in the objective's unit; left out: `verification.margin`, of a cost that share
    of what the best parent costs."""

    @property
    def bound(self) -> Bound | None:
        """The constraint; None where there is none."""
        if self.cost is None:
            return None if self.at_least is None else parse_bound(self.name, self.at_least)
        if self.at_most is None:
            return None
        written = parse_bound(self.name, self.at_most)
        return replace(written, offset=natural(written.offset, self.cost), cost=self.cost)

    @model_validator(mode="after")
    def _is_of_tasks_or_a_cost(self) -> ObjectiveConfig:
        no_cost = "is for costs, as in {cost: tokens, at_most: base}; write at_least"
        if self.cost is None and not self.tasks:
            empty = mismatch("at least 1 in the list", "[]", at=["tasks"])
            missing = InitErrorDetails(type="missing", loc=("tasks",), input=None)
            refuse([empty if "tasks" in self.model_fields_set else missing])
        if self.cost is None and self.at_most is not None:
            refuse([mismatch("no such key without cost", in_words(self.at_most), f"at_most {no_cost}", at=["at_most"])])
        if self.cost is not None and self.at_least is not None:
            hint = "a cost is better the less it is; write at_most"
            refuse([mismatch("no such key beside cost", in_words(self.at_least), hint, at=["at_least"])])
        if is_exact(self.cost) and self.tasks:
            found, hint = in_words(self.tasks), "it is a number of the model, whatever it is asked; leave them out"
            refuse([mismatch(f"no such key beside cost: {self.cost}", found, hint, at=["tasks"])])
        of_tasks = [key for key in ("expert", "group", "signal", "questions") if getattr(self, key)]
        if self.cost is not None and of_tasks:
            key = of_tasks[0]
            hint = "say it of the objective whose tasks are measured"
            refuse([mismatch("no such key beside cost", in_words(getattr(self, key)), hint, at=[key])])
        return self


class SplitsConfig(BaseModel):
    """Shares of the items, about: each item's split is drawn. What they leave over is not used."""

    model_config = SECTION

    search: Annotated[Share, Field(gt=0)] = 0.5
    """Items that the optimiser sees."""
    validation: Share = 0.2
    """Items that choose among the candidates that the search found."""
    test: Share = 0.3
    """Items that nothing sees before a verification."""
    final: Share = 0.0
    """Items that nothing sees before `evomerge verify --final`, which opens them once, for one winner."""
    drawn: Literal["by_group", "by_content", "by_place"] = "by_group"
    """by_group: an item's split depends on what it asks and the seed, or on its group: equal items and those of a group
    are in one split, an added one moves no other. by_content: the same without groups. by_place: on the task's name and
    the items' order. Searches of older versions began so, and go on."""

    @property
    def shares(self) -> dict[Split, float]:
        """Split -> its share; without `final`, where that has none."""
        final: dict[Split, float] = {"final": self.final} if self.final else {}
        return {"search": self.search, "validation": self.validation, "test": self.test, **final}


class VerificationConfig(BaseModel):
    """How winners are judged on held-out items."""

    model_config = SECTION

    margin: Annotated[Real, Field(ge=0)] = 0.01
    """A difference in an objective that does not matter: a winner that is worse by less counts as just as good."""
    masks: Annotated[Whole, Field(ge=0, le=1000)] = 3
    """Other seeds that a winner with random masks (DARE, DELLA) is scored with on validation items; 0 for none."""


def as_reduced(value: object) -> object:
    """Read a reduced benchmark written as its file alone."""
    return {"file": value} if isinstance(value, str) else value


class ReducedConfig(BaseModel):
    """A benchmark that `evomerge reduce` made small: candidates are scored on a few search items instead of all.

    With `schedule: halving` its response model ranks them on growing parts of all search items.
    """

    model_config = SECTION

    file: FilePath
    """What `evomerge reduce CAMPAIGN.yaml --out FILE` wrote."""
    items: Annotated[Whole, Field(ge=1)] | None = None
    """Items per candidate, of those that the file chose; left out: all of these, or with `schedule: halving` all search
    items. Of fewer than the file has, estimates are only as sure as from a random sample: rather reduce to fewer."""
    estimator: Literal["auto", "mean", "anchor", "p-irt", "gp-irt", "mp-irt", "gmp-irt"] = "auto"
    """What is made of their scores. auto: what the file's calibration chose; the plain mean where it says "not better
    than random"; with `schedule: halving` p-irt, which ranked best there."""


ReducedSource: TypeAlias = Annotated[
    ReducedConfig, BeforeValidator(as_reduced, json_schema_input_type=str | ReducedConfig)
]


Examples = Annotated[Whole, Field(ge=0, le=10_000)]


class PromptsConfig(BaseModel):
    """How questions become prompts, for all tasks; the keys are lm-eval's."""

    model_config = SECTION

    apply_chat_template: bool | str | None = None
    """true: questions are messages to the model, rendered with the base's chat template; a name chooses one of
    several templates. false: they are plain text. Left out: true where the base has a chat template."""
    chat_template_args: Mapping[str, JsonValue] = Field(default_factory=dict)
    """Arguments of the template itself, such as {enable_thinking: false}."""
    system_instruction: Text | None = None
    """The chat's system message; without a chat template the text in front of every prompt."""
    fewshot_as_multiturn: Annotated[bool, Strict()] = True
    """With a chat template: few-shot examples are turns of the chat; false: all are one message."""
    num_fewshot: Examples | Mapping[Text, Examples] | None = None
    """Few-shot examples of lm-eval tasks, or of each by its name or its group's: {mmlu: 5, gsm8k: 8}; left out: each
    task's own number. Tasks that say 0 keep it, unless they are named."""

    @field_validator("apply_chat_template", mode="before")
    @classmethod
    def _is_a_switch_or_a_name(cls, value: object) -> object:
        if not isinstance(value, bool | str | None) or value == "":
            refuse([mismatch("true, false or the name of a chat template", in_words(value))])
        return value


class LmEvalConfig(BaseModel):
    """Settings of the tasks that come from lm-eval."""

    model_config = SECTION

    include_path: DirectoryPath | None = None
    """A directory with lm-eval task YAML files of your own."""
    run_model_code: Annotated[bool, Strict()] = False
    """Whether tasks that run what models write (humaneval, mbpp) are scored, with bubblewrap: without network, files
    of yours, or more than a minute and 2 GiB for each answer."""


def expert_problems(objectives: Sequence[ObjectiveConfig], known: Sequence[str] | None) -> list[InitErrorDetails]:
    """Return what is wrong with the experts that objectives compare with."""
    problems = []
    expert_of: dict[str, str] = {}
    for i, objective in enumerate(objectives):
        expert, found, hint, expected = objective.expert, in_words(objective.expert), "", ""
        compared = [task for task in objective.tasks if task_source.TaskSource.parse(task).wants_expert]
        if expert is None:
            expected = "the parent that js_divergence compares with" if compared else ""
        elif known is not None and expert not in known:
            expected, hint = f"one of {', '.join(known)}", did_you_mean(expert, known)
        elif others := {expert_of.setdefault(task, expert) for task in compared} - {expert}:
            expected = f"{in_words(min(others))}, which another objective says of the same task"
        if expected:
            problems.append(mismatch(expected, found, hint, at=[i, "expert"]))
    return problems


def group_problems(objectives: Sequence[ObjectiveConfig]) -> list[InitErrorDetails]:
    """Return what is wrong with the fields that group items: of one task there is one."""
    problems = []
    group_of: dict[str, str] = {}
    for i, objective in enumerate(objectives):
        group = objective.group
        if group is not None and (others := {group_of.setdefault(task, group) for task in objective.tasks} - {group}):
            expected = f"{in_words(min(others))}, which another objective says of the same task"
            problems.append(mismatch(expected, in_words(group), at=[i, "group"]))
    return problems


def bound_problems(objectives: Sequence[ObjectiveConfig], known: Sequence[str] | None) -> list[InitErrorDetails]:
    """Return what is wrong with the checkpoints that constraints are measured by."""
    if known is None:
        return []
    measured = [(i, o.bound.landmark) for i, o in enumerate(objectives) if o.bound is not None and o.bound.landmark]
    return [
        mismatch(f"a number or one of {', '.join(known)}", in_words(name), did_you_mean(name, known), at=[i, key])
        for i, name in measured
        if name not in known
        for key in ["at_least" if objectives[i].cost is None else "at_most"]
    ]
