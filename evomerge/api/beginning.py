"""`evomerge.init`: the campaign file that fits models, tasks and this machine."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from evomerge.config import ConfigError, ConfigProblem
from evomerge.config.schema import SCHEMA_FILE
from evomerge.config.small_campaign import GOALS, Goal, Surroundings, small_campaign
from evomerge.config.template import SCHEMA_NAME, template
from evomerge.errors import EvomergeError
from evomerge.whole_file import prepared_file
from evomerge.wording import did_you_mean, in_words
from fitness.tasks.task_source import TaskSource


class FileExistsAlreadyError(EvomergeError, FileExistsError):
    """A file would be written over."""


def init(
    parents: Sequence[str | Path] = (),
    base: str | Path | None = None,
    *,
    tasks: Sequence[str | Path] = (),
    goal: Goal = "balanced",
    out: str | Path = "campaign.yaml",
    from_file: str | Path | None = None,
) -> Path:
    """Write a campaign file: the small one for these models and tasks, or without tasks one that explains every key.

    Beside it lies the schema that editors check it by.

    Args:
        parents: two or more directories or hub ids.
        base: what they were fine-tuned from; left out: what adapters say.
        tasks: as campaign files name them: JSONL or YAML files, lm-eval's names, python:FILE.py:FUNCTION.
        goal: balanced: the mean of all tasks; one: the first, the others not much below the base; front: all apart.
        out: the file; must not exist. Paths in it are relative to its directory.
        from_file: a mergekit-evolve file, which names the models, in place of all but `out`. What a campaign has no key
            for stands in comments at the top.

    Returns:
        `out`.

    Raises:
        ConfigError: fewer than two models, no such task file, no such goal.
        FileExistsAlreadyError: there is a file.
        OutputError: it cannot be written.
        SpaceError: `from_file` is no mergekit-evolve file; or a model's files cannot be read.
    """
    file = Path(out)
    if os.path.exists(file):
        raise FileExistsAlreadyError(f"{file}: expected no file, found one; choose another with out (--out)")
    write = prepared_file(file)
    if from_file is not None:
        text = _of(from_file, file, [*parents, *tasks], base)
    elif tasks:
        text = _small([str(p) for p in parents], base, tasks, goal, file)
    else:
        text = template(parents, base)
    write(text)
    _write_schema(file.parent / SCHEMA_NAME)
    return file


def _small(parents: Sequence[str], base: str | Path | None, tasks: Sequence[str | Path], goal: Goal, out: Path) -> str:
    from evomerge.api.looking import base_of, gpus, look

    if len(parents) < 2:
        raise ConfigError(None, [ConfigProblem("parents", None, "two models or more", in_words(parents))])
    if goal not in GOALS:
        hint = did_you_mean(goal, GOALS)
        raise ConfigError(None, [ConfigProblem("goal", None, f"one of {', '.join(GOALS)}", in_words(goal), hint)])
    names = [tasks] if isinstance(tasks, str | Path) else tasks
    root = base_of(parents) if base is None else str(base)
    seen = [look(model) for model in ([] if root is None else [root], parents) for model in model]
    around = Surroundings(
        [_task(str(task), out.parent) for task in names],
        goal,
        chat_template=seen[0].chat_template,
        same_tokens=len({one.tokens for one in seen if one.tokens}) < 2,
        gpus=gpus(),
    )
    placed = None if root is None else _relative(root, out.parent)
    name = "my-merge" if out.stem == "campaign" else out.stem
    return small_campaign([_relative(model, out.parent) for model in parents], placed, around, name)


def _task(text: str, directory: Path) -> str:
    """Return a task as a file of this directory names it."""
    source = TaskSource.parse(text)
    if not source.is_file:
        return text
    if not Path(source.place).is_file():
        raise ConfigError(None, [ConfigProblem("tasks", None, "a task file", f"nothing at {source.place}")])
    return text.replace(source.place, os.path.relpath(source.place, directory), 1)


def _relative(model: str, directory: Path) -> str:
    """Return a model as a file of this directory names it: relative, unless it was absolute and lies elsewhere."""
    if not Path(model).expanduser().exists():
        return model
    path = os.path.relpath(os.path.expanduser(model), directory)
    if path.startswith("..") and os.path.isabs(model):
        return model
    return path if path.startswith(".") else f"./{path}"


def _write_schema(file: Path) -> None:
    """Write the schema beside a campaign, so that editors find it wherever both go; another's file stays."""
    if not file.exists():
        prepared_file(file)(SCHEMA_FILE.read_text(encoding="utf-8"))


def _of(from_file: str | Path, out: Path, named: Sequence[str | Path], base: str | Path | None) -> str:
    from evomerge.config.evolve import campaign_of_evolve

    if named or base is not None:
        found = in_words(list(map(str, named)) or str(base))
        raise ConfigError(None, [ConfigProblem("parents", None, "none beside a file, which names them", found)])
    return campaign_of_evolve(Path(from_file), out.parent).text
