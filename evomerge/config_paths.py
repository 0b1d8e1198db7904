"""Which texts in a campaign file are paths, and what they lead to.

Models may be directories or hub ids: a text is a path when it begins like one (`./`, `../`, `/`, `~`) or when something
of that name exists beside the campaign file. Tasks may be files or lm-eval's names: a path ends in `.jsonl`, `.yaml` or
`.yml`; `:METRIC` may follow a YAML file, as `fitness.tasks.sources` reads it.
"""

from __future__ import annotations

import difflib
import os
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, StringConstraints, ValidationInfo

from evomerge.config_errors import mismatch, refuse

TASK_SUFFIXES = (".jsonl", ".yaml", ".yml")
_PARENT_FILES = ("config.json", "adapter_config.json")


def absolute_model(text: str, directory: Path) -> str:
    """Return the absolute path that `text` stands for in a file of `directory`, or `text` when it is a hub id."""
    path = absolute_path(text, directory)
    return str(path) if path.exists() or text in (".", "..") or text.startswith(("./", "../", "/", "~")) else text


def absolute_task(text: str, directory: Path) -> str:
    """Return the same for a task; `text` stays when it is lm-eval's name of one."""
    name, colon, metric = (text, "", "") if text.endswith(".jsonl") else text.partition(":")
    return f"{absolute_path(name, directory)}{colon}{metric}" if name.endswith(TASK_SUFFIXES) else text


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
    task = "" if directory is None else absolute_task(text, directory)
    path = Path(task if task.endswith(".jsonl") else task.partition(":")[0])
    if path.is_absolute() and not path.is_file():
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
"""A task file or lm-eval's name of a task; a file is checked to exist when validated with that context."""
DirectoryPath = Annotated[_Text, AfterValidator(_existing_directory)]
