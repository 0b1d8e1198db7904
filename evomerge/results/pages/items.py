"""What items ask and what is right, where task files of the user's own runs are still there to be read."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

from evomerge.archive import Archive
from evomerge.results.answers import AnswersError, answers_of
from fitness.errors import FitnessError
from fitness.scores import Split
from fitness.tasks.items import ExactMatch, MultipleChoice, Text
from fitness.tasks.jsonl import load_jsonl
from fitness.tasks.task_source import TaskSource


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
    for file in _files(settings) if ours else ():
        try:
            told = file.stat()
            if file.is_file() and told.st_size <= _LARGEST:
                found |= _read(file, told.st_mtime_ns, told.st_size)
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


def _files(settings: Mapping[str, Any]) -> list[Path]:
    objectives = settings.get("objectives")
    tasks = [
        task
        for objective in (objectives if isinstance(objectives, list) else ())
        if isinstance(objective, dict)
        for task in (objective.get("tasks") or ())
        if isinstance(task, str)
    ]
    sources = map(TaskSource.parse, tasks)
    return list(dict.fromkeys(Path(source.place) for source in sources if source.kind == "jsonl"))


@lru_cache(maxsize=32)
def _read(file: Path, _changed: int, _size: int) -> dict[str, dict[str, str]]:
    try:
        task = load_jsonl(file)
    except (FitnessError, OSError, ValueError):
        return {}
    found = {}
    for item in task.items:
        asked: tuple[str, str] | None = None
        if isinstance(item, MultipleChoice):
            others = "\n".join(f"· {choice}" for choice in item.choices)
            asked = (f"{item.question}\n{others}", item.choices[item.gold])
        elif isinstance(item, ExactMatch):
            asked = (item.prompt, item.answer)
        elif isinstance(item, Text):
            asked = (item.text, "")
        if asked is not None:
            found[f"{task.name}/{item.id}"] = dict(zip(("question", "gold"), map(_short, asked), strict=True))
    return found


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
