"""Which texts in a campaign file are paths, and what they lead to.

Models may be directories or hub ids: a text is a path when it begins like one (`./`, `../`, `/`, `~`) or when something
of that name exists beside the campaign file. What a task's text means is `fitness.tasks.task_source`'s to say.
"""

from __future__ import annotations

import difflib
import os
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, StringConstraints, ValidationInfo

from evomerge.config.errors import mismatch, refuse
from fitness.tasks import task_source

_PARENT_FILES = ("config.json", "adapter_config.json")


def absolute_model(text: str, directory: Path) -> str:
    """Return the absolute path that `text` stands for in a file of `directory`, or `text` when it is a hub id."""
    path = absolute_path(text, directory)
    return str(path) if path.exists() or text in (".", "..") or text.startswith(("./", "../", "/", "~")) else text


def absolute_task(text: str, directory: Path) -> str:
    """Return the same for a task; `text` stays when it names no file."""
    source = task_source.TaskSource.parse(text)
    return str(source.at(str(absolute_path(source.place, directory)))) if source.is_file else text


def absolute_path(text: str, directory: Path) -> Path:
    """Return the path that `text` is in a file of `directory`."""
    # Not Path.resolve: hub caches are links to files without telling names. Path.expanduser raises for unknown users.
    return Path(os.path.abspath(directory / os.path.expanduser(text)))


def _existing_model(text: str, info: ValidationInfo) -> str:
    directory = _directory(info)
    if directory is None or not Path(absolute_model(text, directory)).is_absolute():
        return text
    path = absolute_path(text, directory)
    if not path.exists():
        refuse([mismatch("a checkpoint directory", f"nothing at {path}", _near(path))])
    if not any((path / name).is_file() for name in _PARENT_FILES):
        found = f"{path}, which has none" if path.is_dir() else f"the file {path}"
        refuse([mismatch("a checkpoint directory with config.json", found)])
    return text


def _existing_task(text: str, info: ValidationInfo) -> str:
    directory = _directory(info)
    source = task_source.TaskSource.parse(text)
    if source.kind == "python" and not (source.place and source.detail.isidentifier()):
        refuse([mismatch("python:MODULE:FUNCTION or python:FILE.py:FUNCTION", f"'{text}'")])
    if directory is not None and source.is_file:
        path = absolute_path(source.place, directory)
        if not path.is_file():
            refuse([mismatch("a file", f"nothing at {path}", _near(path))])
    return text


def _existing_directory(text: str, info: ValidationInfo) -> str:
    directory = _directory(info)
    if directory is not None and not absolute_path(text, directory).is_dir():
        refuse([mismatch("a directory", f"none at {absolute_path(text, directory)}")])
    return text


def _directory(info: ValidationInfo) -> Path | None:
    """Return the campaign file's directory; None: nothing is checked to exist."""
    return (info.context or {}).get("directory")


def _near(path: Path) -> str:
    """Return a hint that names the nearest neighbour of the same suffix; the suffix itself is no likeness."""
    if not path.parent.is_dir():
        return ""
    stems = [p.stem for p in path.parent.iterdir() if p.suffix == path.suffix]
    near = difflib.get_close_matches(path.stem, stems, n=1)
    return f"did you mean '{near[0]}{path.suffix}'?" if near else ""


_Text = Annotated[str, StringConstraints(min_length=1)]
ModelSource = Annotated[_Text, AfterValidator(_existing_model)]
"""A hub id or a directory; checked to be a checkpoint when validated with the context {"directory": Path}."""
TaskSource = Annotated[_Text, AfterValidator(_existing_task)]
"""A task file, lm-eval's name of a task or a Python function; a file is checked to exist when validated so."""
DirectoryPath = Annotated[_Text, AfterValidator(_existing_directory)]


def _existing_start(text: str, info: ValidationInfo) -> str:
    directory = _directory(info)
    if directory is not None:
        path = absolute_path(text, directory)
        if not (path.is_file() or (path / "archive.sqlite").is_file()):
            refuse([mismatch("a recipe file or the directory of a run", f"nothing at {path}", _near(path))])
    return text


StartPath = Annotated[str, StringConstraints(min_length=1), AfterValidator(_existing_start)]
