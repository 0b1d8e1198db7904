"""The section `questions`, of a campaign and of an objective: how rows of task files are asked, and what is right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, TypeAlias

from pydantic import BaseModel, BeforeValidator, Field, ValidationError, field_validator
from pydantic_core import InitErrorDetails

from evomerge.config.errors import ConfigError, ConfigProblem
from evomerge.fields import SECTION, Text, Whole
from evomerge.wording import in_words, mismatch, refuse, told
from fitness.tasks.asking import Asking, template_keys
from fitness.tasks.json_lines import LineError
from fitness.tasks.matching import Match, Normalise


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


Texts: TypeAlias = Annotated[tuple[Text, ...], BeforeValidator(_listed, json_schema_input_type=Text | tuple[Text, ...])]


class QuestionsConfig(BaseModel):
    """How rows of task files (JSONL, CSV, TSV, Parquet, hf:) become questions, and when an answer is right.

    An objective's own keys go before the campaign's, a row's own (match, normalise, max_tokens, stop, language, system)
    before both.
    """

    model_config = SECTION

    template: Text | None = None
    """The prompt, with keys of the row in braces: "Question: {question}\\nAnswer:"; {choices} is a line for each
    choice, with its letter; {{ is a brace. Left out: the row's prompt or question."""
    columns: Mapping[Text, Texts] = Field(default_factory=dict)
    """What a row's columns are called: {question: query, choices: [A, B, C, D], answer: label}."""
    match: Match | None = None
    """When a written answer is right. exact (the default): its line equals the answer. contains: the answer stands in
    it, as whole words. regex: the answer is a pattern that is found in it. number: its last number equals the answer's.
    choice: the letter that it names is the right choice's."""
    normalise: tuple[Normalise, ...] | None = None
    """Steps that answers go through before they are compared: case, punctuation, articles, whitespace, unicode."""
    max_tokens: Annotated[Whole, Field(ge=1, le=32_768)] | None = None
    """Tokens of an answer; left out: 256, of an exact match as many as it takes to tell right from wrong."""
    stop: Texts | None = None
    """What ends an answer beside the model's own end; left out: of an exact match the line's end, else nothing."""
    language: Text | None = None
    """The language that a right answer is in besides, as de (ISO 639-1; told by py3langid, evomerge[languages])."""
    system: Text | None = None
    """A system message, in place of prompts.system_instruction."""

    @field_validator("template")
    @classmethod
    def _names_keys(cls, template: str | None) -> str | None:
        try:
            template_keys(template or "")
        except LineError as error:
            expected, _, found = str(error).removeprefix("template: expected ").partition(", found ")
            refuse([mismatch(expected, found)])
        return template

    def over(self, general: QuestionsConfig) -> Asking:
        """Return what holds for an objective, whose keys these are, in a campaign."""
        said = {**general.model_dump(exclude_unset=True), **self.model_dump(exclude_unset=True)}
        held = said.get("columns", {}).items()
        columns = {key: list(names) if len(names) > 1 or key == "choices" else names[0] for key, names in held}
        return Asking(**{**said, "columns": columns})


def asking_of(questions: object) -> Asking:
    """Return what a mapping with the section's keys says; raises ConfigError."""
    if not isinstance(questions, Mapping | None):
        raise ConfigError(None, [ConfigProblem("questions", None, "a mapping", in_words(questions))])
    try:
        return QuestionsConfig().over(QuestionsConfig.model_validate(dict(questions or {})))
    except ValidationError as error:
        named = [(".".join(["questions", *map(str, way)]), words) for way, words in told(error, QuestionsConfig)]
        raise ConfigError(None, [ConfigProblem(key, None, *words) for key, words in named]) from None


def question_problems(
    asked: Sequence[tuple[Sequence[str], QuestionsConfig | None]],
) -> list[InitErrorDetails]:
    """Return what is wrong with what objectives say of their tasks' rows: of one task all say the same."""
    problems = []
    said: dict[str, QuestionsConfig | None] = {}
    for i, (tasks, questions) in enumerate(asked):
        for task in tasks:
            if said.setdefault(task, questions) != questions:
                hint = "write the task's questions in both, or take a copy of the file"
                found = in_words(None if questions is None else questions.model_dump(exclude_unset=True))
                problems.append(mismatch(f"what another objective says of {task}", found, hint, at=[i, "questions"]))
    return problems
