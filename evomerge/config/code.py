"""Which code a campaign names that would be run: tasks in Python, lm-eval's YAML files, plug-ins by their dotted path.

This reads plain data, as a file or an archive holds them, and loads nothing: it is asked before anything is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from fitness.tasks.task_source import TaskSource

_DOTTED = re.compile(r"[\w.]+:[\w.]+")
# Keys under which a dotted path names what is imported.
_PLUGINS = ("kind", "estimator", "operator", "operators", "landmarks")


@dataclass(frozen=True)
class NamedCode:
    """One place of a campaign that names code.

    Attributes:
        key: where, as in `objectives[0].tasks[1]`.
        text: what stands there.
        file: the file that holds the code, as far as the text says; None for a module.
    """

    key: str
    text: str
    file: Path | None = None

    @property
    def is_relative(self) -> bool:
        """Whether the file is another one in each directory; a campaign that was resolved has none of these."""
        return self.file is not None and not self.file.is_absolute()

    @property
    def is_plugin(self) -> bool:
        """Whether it is a dotted path, which is imported as soon as the campaign is read."""
        return self.file is None and not self.text.startswith("python:")

    def __str__(self) -> str:
        return f"{self.key}: {self.text}"


def named_code(data: object) -> tuple[NamedCode, ...]:
    """Return the code that a campaign names, in the order of its file; none where the data are no campaign."""
    if not isinstance(data, Mapping):
        return ()
    found = [one for key, text in _texts(data, "", frozenset()) if (one := _plugin_or_file(key, text))]
    objectives = data.get("objectives")
    names_of_lm_eval = False
    for i, objective in enumerate(objectives if isinstance(objectives, list | tuple) else ()):
        tasks = objective.get("tasks") if isinstance(objective, Mapping) else None
        for j, task in enumerate(
            [tasks] if isinstance(tasks, str) else tasks if isinstance(tasks, list | tuple) else ()
        ):
            if isinstance(task, str):
                found += task_code(task, f"objectives[{i}].tasks[{j}]")
                names_of_lm_eval |= TaskSource.parse(task).kind == "lm_eval"
    settings = data.get("lm_eval")
    folder = settings.get("include_path") if isinstance(settings, Mapping) else None
    if names_of_lm_eval and isinstance(folder, str):
        found.append(NamedCode("lm_eval.include_path", folder, Path(folder).expanduser()))
    return tuple(found)


def task_code(task: str, key: str) -> list[NamedCode]:
    """Return the code of a task as it is named: a Python function, or lm-eval's YAML, whose templates can run any."""
    source = TaskSource.parse(task)
    if source.kind not in ("python", "yaml"):
        return []
    return [NamedCode(key, task, Path(source.place).expanduser() if source.is_file else None)]


def file_of(task: str) -> Path | None:
    """Return the file that a task names; None where it is lm-eval's, or a module's."""
    source = TaskSource.parse(task)
    return Path(source.place).expanduser() if source.is_file else None


def _plugin_or_file(key: str, text: str) -> NamedCode | None:
    names = re.sub(r"\[\d+\]", "", key).split(".")
    if names[-1] in _PLUGINS and _DOTTED.fullmatch(text):
        return NamedCode(key, text)
    is_recipe = names == ["merges", "recipe"]  # its operators may be dotted paths
    return NamedCode(key, text, Path(text).expanduser()) if is_recipe else None


def _texts(data: object, key: str, above: frozenset[int]) -> Iterator[tuple[str, str]]:
    if isinstance(data, str):
        yield key, data
    elif isinstance(data, Mapping | list | tuple) and id(data) not in above:  # an alias may contain itself
        for name, value in data.items() if isinstance(data, Mapping) else enumerate(data):
            below = f"{key}[{name}]" if isinstance(name, int) else f"{key}.{name}" if key else str(name)
            yield from _texts(value, below, above | {id(data)})
