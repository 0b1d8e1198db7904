"""The short campaign file that `evomerge init --tasks` writes: what equals a default is left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Literal, get_args

from evomerge.config.suitable import MOST_OF_BAYES
from evomerge.config.template import SCHEMA_COMMENT, parent_lines
from evomerge.config.yaml_document import write_flow
from fitness.tasks.task_source import TaskSource

Goal = Literal["balanced", "one", "front"]
GOALS: tuple[Goal, ...] = get_args(Goal)
PER_GENE, LEAST = 20, 40  # evaluations
LOSS = 0.02  # that `one` lets the other tasks have
_MERGE = "regmean"
_TEXT = """\
{schema}
# A merge search: `evomerge plan` and this file check it, `evomerge run` starts or resumes it.
# Keys that are left out have their defaults; `evomerge init` without --tasks writes a file that explains every one.

name: {name}
{base}
parents:
{parents}
{merges}{tokenizer}
space: {{operator: {operator}, groups: {{layer_blocks: 1, modules: [all]}}}}  # {genes} genes: a weight for each parent

{about}
objectives:
{objectives}
# splits: {{search: 0.5, validation: 0.2, test: 0.3}}  # shares of the items: to search, to choose, to judge
{prompts}
budget: {{evaluations: {evaluations}}}  # {per_gene} for each gene
{workers}
"""


@dataclass(frozen=True)
class Surroundings:
    """What a campaign is fitted to.

    Attributes:
        tasks: as campaign files name them.
        goal: balanced: the mean of all tasks; one: the first, the others not much below the base; front: all of them
            apart, and the best compromises.
        chat_template: whether the model that gives the tokenizer has one.
        same_tokens: whether all models have one vocabulary.
        gpus: how many there are here.
    """

    tasks: Sequence[str]
    goal: Goal
    chat_template: bool = False
    same_tokens: bool = True
    gpus: int = 0


def small_campaign(parents: Sequence[str], base: str | None, around: Surroundings, name: str) -> str:
    """Return the text of a campaign file for two or more parents."""
    merged = base is not None and around.same_tokens
    genes = len(parents) + merged
    evaluations = min(max(LEAST, PER_GENE * genes), MOST_OF_BAYES)
    about, objectives = _objectives(around, "base" if base is not None else "uniform mean")
    no_gpus = "# workers: {backend: ray, count: 2}  # several at a time; each holds one model"
    return _TEXT.format(
        schema=SCHEMA_COMMENT,
        name=write_flow(name),
        base="# base: what they were fine-tuned from" if base is None else f"base: {write_flow(base)}",
        parents="\n".join(f"  - {line}" for line in parent_lines(parents, _MERGE)),
        merges=f"merges: [{{name: {_MERGE}, operator: {_MERGE}}}]  # a parent more, made of the others\n" * merged,
        tokenizer="" if around.same_tokens else "tokenizer: union  # the models have different tokens\n",
        operator="linear" if base is None else "task_arithmetic",
        genes=genes,
        about=about,
        objectives="\n".join(f"  - {line}" for line in objectives),
        prompts="prompts: {apply_chat_template: true}  # the base's; false asks in plain text\n" * around.chat_template,
        evaluations=evaluations,
        per_gene=evaluations // genes,
        workers=no_gpus if around.gpus < 2 else f"workers: {{backend: ray, count: {around.gpus}}}  # one for each GPU",
    )


def _objectives(around: Surroundings, reference: str) -> tuple[str, list[str]]:
    """Return a comment, and a line per objective."""
    names = _names(around.tasks)
    if around.goal == "balanced":
        name = names[0] if len(names) == 1 else "all"
        return "# One number: the mean of all tasks.", [write_flow({"name": name, "tasks": list(around.tasks)})]
    apart: list[dict[str, object]] = [{"name": n, "tasks": [t]} for n, t in zip(names, around.tasks, strict=True)]
    if around.goal == "one":
        for other in apart[1:]:
            other |= {"weight": 0.0, "at_least": f"{reference} - {LOSS:g}"}
        about = "# The first is searched for; the others must not fall much below what `at_least` names."
    else:
        about = "# All of them apart: the search looks for the best compromises, `evomerge pareto` shows them."
    return about, [write_flow(one) for one in apart]


def _names(tasks: Sequence[str]) -> list[str]:
    """Return a name for each task, no two alike."""
    names: list[str] = []
    for task in tasks:
        source = TaskSource.parse(task)
        stem = source.detail if source.kind == "python" else PurePath(source.place).stem
        names.append(next(n for n in (stem, *(f"{stem}-{i}" for i in range(2, len(tasks) + 2))) if n not in names))
    return names
