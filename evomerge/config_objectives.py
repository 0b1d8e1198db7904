"""The sections of a campaign file that say what is measured, on which items, and how it is asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

from pydantic import BaseModel, Field, JsonValue, Strict, field_validator
from pydantic_core import InitErrorDetails

from evomerge.config_errors import did_you_mean, in_words, mismatch, refuse
from evomerge.config_paths import DirectoryPath, TaskSource
from evomerge.config_sections import SECTION, Real, Share, Text, Whole
from fitness.tasks import task_source


class ObjectiveConfig(BaseModel):
    """One thing to be good at; higher is better."""

    model_config = SECTION

    name: Text
    """What tables call it."""
    tasks: tuple[TaskSource, ...] = Field(min_length=1, examples=[["tasks/words.jsonl"]])
    """JSONL or lm-eval YAML files, names of lm-eval tasks, each with `:METRIC` if not its first one is wanted; or
    `python:FILE.py:FUNCTION`. The objective is the mean of the tasks."""
    expert: Text | None = None
    """The parent that `:js_divergence` of these tasks compares with."""
    weight: Annotated[Real, Field(ge=0)] = 1.0
    """Share in the mean that single-objective optimisers maximise; the others ignore it."""


class SplitsConfig(BaseModel):
    """Shares of each task's items; what they leave over is not used."""

    model_config = SECTION

    search: Annotated[Share, Field(gt=0)] = 0.5
    """Items that the optimiser sees."""
    validation: Share = 0.2
    """Items that choose among the candidates that the search found."""
    test: Share = 0.3
    """Items that nothing sees before the final table."""


class PromptsConfig(BaseModel):
    """How questions become prompts, for all tasks; the keys are lm-eval's."""

    model_config = SECTION

    apply_chat_template: bool | str = False
    """true: questions are messages to the model, rendered with the base's chat template; a name chooses one of
    several templates."""
    chat_template_args: Mapping[str, JsonValue] = Field(default_factory=dict)
    """Arguments of the template itself, such as {enable_thinking: false}."""
    system_instruction: Text | None = None
    """The chat's system message; without a chat template the text in front of every prompt."""
    fewshot_as_multiturn: Annotated[bool, Strict()] = True
    """With a chat template: few-shot examples are turns of the chat; false: all are one message."""
    num_fewshot: Annotated[Whole, Field(ge=0)] | None = None
    """Few-shot examples of lm-eval tasks; left out: each task's own number. Tasks that say 0 keep it."""

    @field_validator("apply_chat_template", mode="before")
    @classmethod
    def _is_a_switch_or_a_name(cls, value: object) -> object:
        if not isinstance(value, bool | str) or value == "":
            refuse([mismatch("true, false or the name of a chat template", in_words(value))])
        return value


class LmEvalConfig(BaseModel):
    """Settings of the tasks that come from lm-eval."""

    model_config = SECTION

    include_path: DirectoryPath | None = None
    """A directory with lm-eval task YAML files of your own."""


def expert_problems(objectives: Sequence[ObjectiveConfig], known: Sequence[str] | None) -> list[InitErrorDetails]:
    """Return what is wrong with the experts that objectives compare with.

    Args:
        objectives: of the campaign.
        known: the checkpoints' names; None where they are wrong themselves.
    """
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
