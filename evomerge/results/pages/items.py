"""What items ask and what is right, where task files of the user's own runs are still there to be read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

from evomerge.archive import Archive
from evomerge.config.questions import QuestionsConfig
from evomerge.results.answers import AnswersError, answers_of
from fitness.errors import FitnessError
from fitness.scores import Split
from fitness.tasks.items import MultipleChoice, Text
from fitness.tasks.task_file import load_task_file
from fitness.tasks.task_source import TaskSource
from fitness.tasks.written_answer import WrittenAnswer


class Answered(Protocol):
    """A candidate whose answers may be shown."""

    @property
    def archive(self) -> Archive:
        """The run's."""
        ...

    @property
    def number(self) -> int:
        """The candidate's."""
        ...

    @property
    def shows_answers(self) -> bool:
        """Whether the page stays with whoever has the run."""
        ...


_LARGEST = 64 * 2**20  # bytes of a task file
_LONGEST = 4000  # characters of a question or an answer


def item_texts(settings: Mapping[str, Any], *, ours: bool) -> dict[str, dict[str, str]]:
    """Return item id -> its question and right answer, of JSONL tasks; nothing of runs that somebody else began.

    Such a run could name any file of this machine as its task.
    """
    found: dict[str, dict[str, str]] = {}
    for file, asking in _files(settings).items() if ours else ():
        try:
            told = file.stat()
            if file.is_file() and told.st_size <= _LARGEST:
                found |= _read(file, asking, told.st_mtime_ns, told.st_size)
        except OSError:
            continue
    return found


def answer_texts(side: Answered, split: Split) -> dict[str, dict[str, str]]:
    """Return item id -> prompt, right answer and the candidate's answer, as the archive keeps them.

    Nothing for pages that are passed on: benchmarks do not want to be read by whoever trains on the web.
    """
    if not side.shows_answers:
        return {}
    try:
        found = answers_of(side.archive, side.number, split)
    except AnswersError:
        return {}
    told = {one.item: {"question": _end(one.prompt), "gold": one.gold, "answer": one.answer} for one in found}
    return {item: {key: _short(text) for key, text in said.items() if text} for item, said in told.items()}


def _end(prompt: str) -> str:
    """Return a prompt's end: the question comes after the examples."""
    return prompt if len(prompt) <= _LONGEST else f"…{prompt[1 - _LONGEST :]}"


def _files(settings: Mapping[str, Any]) -> dict[Path, str]:
    """Return the files of rows, and how these are asked, as JSON."""
    objectives = settings.get("objectives")
    general = settings.get("questions") or {}
    found: dict[Path, str] = {}
    for objective in objectives if isinstance(objectives, list) else ():
        own = objective if isinstance(objective, dict) else {}
        for task in own.get("tasks") or ():
            source = TaskSource.parse(task) if isinstance(task, str) else None
            if source is not None and source.kind == "rows":
                found.setdefault(Path(source.place), json.dumps([general, own.get("questions") or {}]))
    return found


@lru_cache(maxsize=32)
def _read(file: Path, asking: str, _changed: int, _size: int) -> dict[str, dict[str, str]]:
    try:
        general, own = map(QuestionsConfig.model_validate, json.loads(asking))
        task = load_task_file(file, asking=own.over(general))
    except (FitnessError, OSError, ValueError):
        return {}
    found = {}
    for item in task.items:
        asked: tuple[str, str] | None = None
        if isinstance(item, MultipleChoice):
            others = "\n".join(f"· {choice}" for choice in item.choices)
            asked = (f"{item.question}\n{others}", item.choices[item.gold])
        elif isinstance(item, WrittenAnswer):
            said = "\n".join(text for _, text in item.turns) if item.turns else item.prompt
            asked = (said, "\n".join(item.answers))
        elif isinstance(item, Text):
            asked = (item.text, "")
        if asked is not None:
            found[f"{task.name}/{item.id}"] = dict(zip(("question", "gold"), map(_short, asked), strict=True))
    return found


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
