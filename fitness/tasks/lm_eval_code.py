"""Which code an lm-eval task file names: `!function` of a module beside it, metrics that the hub holds as scripts."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

_FUNCTION = re.compile(r"!function\s+['\"]?([\w.]+)")
_INCLUDE = re.compile(r"^\s*include\s*:\s*['\"]?([^'\"#\n]+)", re.MULTILINE)
_METRIC_SCRIPT = re.compile(r"hf_evaluate\s*:\s*true", re.IGNORECASE)
_WORD = re.compile(r"[\w.-]+")


def code_of(file: Path, file_of: Callable[[str], Path | None]) -> tuple[str, ...]:
    """Return the functions, each with its module's file, that a task file, what it includes and its subtasks name.

    `file_of` returns the file of a task or group by its name, None where it is lm-eval's own.
    """
    found: dict[str, None] = {}
    todo, seen = [file], set[Path]()
    while todo:
        at = todo.pop(0).absolute()
        if at in seen or not at.is_file():
            continue
        seen.add(at)
        text = at.read_text(encoding="utf-8", errors="replace")
        for name in _FUNCTION.findall(text):
            module, _, function = name.rpartition(".")
            found[f"{function} of {at.parent / module.replace('.', '/')}.py"] = None
        if _METRIC_SCRIPT.search(text):
            found[f"a metric's script from the hub (hf_evaluate in {at})"] = None
        todo += [at.parent / included.strip() for included in _INCLUDE.findall(text)]
        todo += [below for word in dict.fromkeys(_WORD.findall(text)) if (below := file_of(word)) is not None]
    return tuple(found)
