"""What callers hand in, checked where it enters: one sentence that names the argument."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from evomerge.campaign.events import Callback
from evomerge.config import ConfigError, ConfigProblem
from evomerge.wording import in_words


def refused(argument: str, expected: str, found: object, hint: str = "") -> ConfigError:
    """Return the error of one argument, `found` as it was given."""
    return ConfigError(None, [ConfigProblem(argument, None, expected, in_words(found), hint)])


def path_of(argument: str, value: Any) -> Path:
    """Return a path that was given as text or as a path."""
    if not isinstance(value, str | os.PathLike):
        raise refused(argument, "a path", value)
    return Path(value)


def directories(argument: str, value: Any) -> dict[str, str]:
    """Return name -> directory as text."""
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        raise refused(argument, "directories by name, as {'words': '/models/words'}", value)
    return {name: str(path_of(f"{argument}.{name}", path)) for name, path in value.items()}


def whole(argument: str, value: Any, *, at_least: int = 1) -> int:
    """Return a whole number that is large enough."""
    if not isinstance(value, int) or isinstance(value, bool) or value < at_least:
        raise refused(argument, f"a whole number, at least {at_least}", value)
    return value


def several(argument: str, value: Any, expected: str) -> list[Any]:
    """Return a list; a text, a path or a function alone is a list of one."""
    if isinstance(value, str | os.PathLike) or callable(value):
        return [value]
    if not isinstance(value, Iterable) or isinstance(value, bytes):
        raise refused(argument, expected, value)
    return list(value)


def callbacks_of(value: Any) -> tuple[Callback, ...]:
    """Return the callbacks; a function alone is the only one."""
    expected = "a function of one event, or a list of such"
    found = several("callbacks", value, expected)
    for callback in found:
        if not callable(callback):
            raise refused("callbacks", expected, value)
    return tuple(found)
