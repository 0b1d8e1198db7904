"""The key that mergekit does not have: `statistics`, what parents read for operators that know more than weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from search_spaces.errors import SpaceError
from search_spaces.mergekit.models import FoundParents
from search_spaces.mergekit.remarks import only_known, sequence
from search_spaces.operators.registry import nearest_name

KEY = "statistics"
_KEYS = ("tasks", "prompts", "calibration", "moments")
_FORM = "{tasks: [a.jsonl, b.jsonl], prompts: 64}, {tasks: [{a.jsonl: PARENT}]} or {calibration: FILE.jsonl}"
PROMPTS = 64


@dataclass(frozen=True)
class RequestedStatistics:
    """What parents are to read.

    Attributes:
        tasks: as the file names them; empty with `calibration`.
        owners: task -> the parent that reads it, where the file says so.
        prompts: of each task, or lines of `calibration`.
        calibration: a file that every parent reads.
        moments: parent -> file with Adam's second moments.
    """

    tasks: tuple[str, ...] = ()
    owners: Mapping[str, str] = field(default_factory=dict)
    prompts: int = PROMPTS
    calibration: Path | None = None
    moments: Mapping[str, Path] = field(default_factory=dict)


def read_requested(value: object, parents: FoundParents, directory: Path) -> RequestedStatistics:
    """Return what stands under the key; files that do not exist are refused, relative ones lie in the directory."""
    data = only_known(value, KEY, _KEYS)
    if data.get("tasks") and data.get("calibration"):
        raise SpaceError(f"{KEY}: expected tasks or calibration, found both; leave one out")
    if not any(data.get(key) for key in ("tasks", "calibration", "moments")):
        raise SpaceError(f"{KEY}: expected {_FORM}, found {dict(data)!r}")
    prompts = data.get("prompts", PROMPTS)
    if not isinstance(prompts, int) or isinstance(prompts, bool) or prompts < 1:
        raise SpaceError(f"{KEY}.prompts: expected a whole number, at least 1, found {prompts!r}")
    tasks, owners = _tasks(data, parents, directory)
    moments = data.get("moments") or {}
    if not isinstance(moments, Mapping):
        raise SpaceError(f"{KEY}.moments: expected parents and files, found {moments!r}")
    return RequestedStatistics(
        tasks,
        owners,
        prompts,
        _file(data["calibration"], f"{KEY}.calibration", directory) if data.get("calibration") else None,
        {
            _parent(name, f"{KEY}.moments", parents): _file(file, f"{KEY}.moments.{name}", directory)
            for name, file in moments.items()
        },
    )


def _tasks(data: Mapping[str, Any], parents: FoundParents, directory: Path) -> tuple[tuple[str, ...], dict[str, str]]:
    tasks: list[str] = []
    owners: dict[str, str] = {}
    for i, entry in enumerate(sequence(data["tasks"], f"{KEY}.tasks") if data.get("tasks") else ()):
        key = f"{KEY}.tasks[{i}]"
        task, owner = next(iter(entry.items())) if isinstance(entry, Mapping) and len(entry) == 1 else (entry, None)
        if not isinstance(task, str) or not task:
            raise SpaceError(f"{key}: expected a task, or {{TASK: PARENT}}, found {entry!r}")
        # Whatever else a task may be (lm-eval's name, a metric behind a colon) is for those to say who load it.
        place = directory / Path(task).expanduser()
        tasks.append(str(place.absolute()) if place.exists() else task)
        if owner is not None:
            owners[tasks[-1]] = _parent(owner, key, parents)
    return tuple(tasks), owners


def _parent(reference: object, key: str, parents: FoundParents) -> str:
    """Return the name of a parent that is called by its name or as the file refers to it."""
    known = list(parents.sources)
    name = reference if reference in known else parents.name(reference, key)
    if name not in known:
        hint = nearest_name(str(reference), known)
        raise SpaceError(f"{key}: expected a model of this file ({', '.join(known)}), found {reference!r}{hint}")
    return str(name)


def _file(value: object, key: str, directory: Path) -> Path:
    for place in (directory, Path()):
        if isinstance(value, str) and (place / Path(value).expanduser()).is_file():
            return (place / Path(value).expanduser()).absolute()
    raise SpaceError(f"{key}: expected a file, found {value!r}, and no such file in {directory.absolute()}")
