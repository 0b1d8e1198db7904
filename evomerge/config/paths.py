"""Which texts in a campaign file are paths, and what they lead to.

Models may be directories or hub ids: a text is a path when it begins like one (`./`, `../`, `/`, `~`) or when something
of that name exists beside the campaign file. What a task's text means is `fitness.tasks.task_source`'s to say.

Validated with the context {"directory": Path}, the campaign file's, a path is checked to exist and made absolute;
without it a text stays as it is. {"models_must_exist": False} leaves out the check for models.
"""

from __future__ import annotations

import difflib
import os
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, StringConstraints, ValidationInfo

from evomerge.plugins import plugin_paths
from evomerge.wording import mismatch, refuse
from fitness.tasks import task_source

_PARENT_FILES = ("config.json", "adapter_config.json")


def absolute_path(text: str, directory: Path) -> Path:
    """Return the path that `text` is in a file of `directory`."""
    # Not Path.resolve: hub caches are links to files without telling names. Path.expanduser raises for unknown users.
    return Path(os.path.abspath(directory / os.path.expanduser(text)))


def existing_start(text: str, directory: Path) -> str:
    """Return the absolute path of a recipe file or of a run."""
    path = absolute_path(text, directory)
    if not (path.is_file() or (path / "archive.sqlite").is_file()):
        refuse([mismatch("a recipe file or the directory of a run", f"nothing at {path}", _near(path))])
    return str(path)


def _existing_model(text: str, info: ValidationInfo) -> str:
    directory = directory_of(info)
    if directory is None:
        return text
    path = absolute_path(text, directory)
    if not (path.exists() or text in (".", "..") or text.startswith(("./", "../", "/", "~"))):
        return text
    if not path.exists() and not (info.context or {}).get("models_must_exist", True):
        return str(path)
    if not path.exists():
        refuse([mismatch("a checkpoint directory", f"nothing at {path}", _near(path))])
    if not any((path / name).is_file() for name in _PARENT_FILES):
        found = f"{path}, which has none" if path.is_dir() else f"the file {path}"
        refuse([mismatch("a checkpoint directory with config.json", found)])
    return str(path)


def _existing_task(text: str, info: ValidationInfo) -> str:
    directory = directory_of(info)
    source = task_source.TaskSource.parse(text)
    if source.kind == "lm_eval" and (function := plugin_paths("evomerge.tasks").get(text)):
        return f"python:{function}"
    if source.kind == "python" and not (source.place and source.detail.isidentifier()):
        refuse([mismatch("python:MODULE:FUNCTION or python:FILE.py:FUNCTION", f"'{text}'")])
    if directory is None or not source.is_file:
        return text
    path = absolute_path(source.place, directory)
    if not path.is_file():
        refuse([mismatch("a file", f"nothing at {path}", _near(path))])
    return str(source.at(str(path)))


def _absolute_file(text: str, info: ValidationInfo) -> str:
    directory = directory_of(info)
    return text if directory is None else str(absolute_path(text, directory))


def _existing_file(text: str, info: ValidationInfo) -> str:
    directory = directory_of(info)
    if directory is None:
        return text
    path = absolute_path(text, directory)
    if not path.is_file():
        refuse([mismatch("a file", f"nothing at {path}", _near(path))])
    return str(path)


def _existing_directory(text: str, info: ValidationInfo) -> str:
    directory = directory_of(info)
    if directory is None:
        return text
    path = absolute_path(text, directory)
    if not path.is_dir():
        refuse([mismatch("a directory", f"none at {path}")])
    return str(path)


def directory_of(info: ValidationInfo) -> Path | None:
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
"""A hub id or a directory, which is checked to be a checkpoint."""
TaskSource = Annotated[_Text, AfterValidator(_existing_task)]
"""A task file, lm-eval's name of a task or a Python function."""
DirectoryPath = Annotated[_Text, AfterValidator(_existing_directory)]
ExistingFile = Annotated[_Text, AfterValidator(_existing_file)]
FilePath = Annotated[_Text, AfterValidator(_absolute_file)]
