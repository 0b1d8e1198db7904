"""Which texts in a campaign file are paths, and what they lead to.

Models may be directories or hub ids: a text is a path when it begins like one (`./`, `../`, `/`, `~`) or when something
of that name exists beside the campaign file. What a task's text means is `fitness.tasks.task_source`'s to say.

What leads nowhere may be too long for any file system, or hold what no path may: `os.path`'s functions say that there
is nothing, where pathlib's raise.

Validated with the context {"directory": Path}, the campaign file's, a path is checked to exist and made absolute;
without it a text stays as it is. {"models_must_exist": False} leaves out the check for models.
"""

from __future__ import annotations

import difflib
import os
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, StringConstraints, ValidationInfo

from evomerge.errors import shortened
from evomerge.plugins import plugin_paths
from evomerge.wording import in_words, mismatch, refuse
from fitness.tasks import task_source

_PARENT_FILES = ("config.json", "adapter_config.json")


def absolute_path(text: str, directory: Path) -> Path:
    """Return the path that `text` is in a file of `directory`."""
    # Not Path.resolve: hub caches are links to files without telling names. Path.expanduser raises for unknown users.
    return Path(os.path.abspath(directory / os.path.expanduser(text)))


def existing_start(text: str, directory: Path) -> str:
    """Return the absolute path of a recipe file or of a run."""
    path = absolute_path(text, directory)
    if not (os.path.isfile(path) or os.path.isfile(path / "archive.sqlite")):
        refuse([mismatch("a recipe file or the directory of a run", _nothing_at(path), _near(path))])
    return str(path)


def _existing_model(text: str, info: ValidationInfo) -> str:
    directory = directory_of(info)
    if directory is None:
        return text
    path = absolute_path(text, directory)
    if not (os.path.exists(path) or text in (".", "..") or text.startswith(("./", "../", "/", "~"))):
        return text
    if not os.path.exists(path) and not (info.context or {}).get("models_must_exist", True):
        return str(path)
    if not os.path.exists(path):
        refuse([mismatch("a checkpoint directory", _nothing_at(path), _near(path))])
    if not any(os.path.isfile(path / name) for name in _PARENT_FILES):
        found = f"{path}, which has none" if path.is_dir() else f"the file {path}"
        refuse([mismatch("a checkpoint directory with config.json", found)])
    return str(path)


def _existing_task(text: str, info: ValidationInfo) -> str:
    directory = directory_of(info)
    source = task_source.TaskSource.parse(text)
    if source.kind == "lm_eval" and (function := plugin_paths("evomerge.tasks").get(text)):
        return f"python:{function}"
    if source.kind == "python" and not (source.place and source.detail.isidentifier()):
        refuse([mismatch("python:MODULE:FUNCTION or python:FILE.py:FUNCTION", in_words(text))])
    if directory is None or not (source.is_file or source.kind == "dataset"):
        return text
    path = absolute_path(source.place, directory)
    if source.kind == "dataset":  # of the hub, or a directory
        return str(source.at(str(path))) if os.path.isdir(path) else text
    if not os.path.isfile(path):
        refuse([mismatch("a file", _nothing_at(path), _near(path))])
    return str(source.at(str(path)))


def _absolute_file(text: str, info: ValidationInfo) -> str:
    directory = directory_of(info)
    return text if directory is None else str(absolute_path(text, directory))


def _existing_file(text: str, info: ValidationInfo) -> str:
    directory = directory_of(info)
    if directory is None:
        return text
    path = absolute_path(text, directory)
    if not os.path.isfile(path):
        refuse([mismatch("a file", _nothing_at(path), _near(path))])
    return str(path)


def _existing_directory(text: str, info: ValidationInfo) -> str:
    directory = directory_of(info)
    if directory is None:
        return text
    path = absolute_path(text, directory)
    if not os.path.isdir(path):
        refuse([mismatch("a directory", f"none at {shortened(str(path))}")])
    return str(path)


def directory_of(info: ValidationInfo) -> Path | None:
    """Return the campaign file's directory; None: nothing is checked to exist."""
    return (info.context or {}).get("directory")


def _nothing_at(path: Path) -> str:
    return f"nothing at {shortened(str(path))}"


def _near(path: Path) -> str:
    """Return a hint that names the nearest neighbour of the same suffix; the suffix itself is no likeness."""
    if not os.path.isdir(path.parent):
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
