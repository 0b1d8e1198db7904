"""What other packages bring: optimisers, operators, spaces, schedules, tasks and callbacks, by name or by dotted path.

A package names what it brings in its metadata, under one of the groups `evomerge.optimisers`, `evomerge.operators`,
`evomerge.spaces`, `evomerge.schedules`, `evomerge.tasks`, `evomerge.estimators` and `evomerge.callbacks`:

    [project.entry-points."evomerge.optimisers"]
    my_search = "my_package.search:MySearch"

Whatever can be imported is also found without, as `my_package.search:MySearch`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Collection
from importlib.metadata import entry_points
from typing import Any

from evomerge.errors import EvomergeError, few_of
from evomerge.wording import did_you_mean, in_words


class PluginError(EvomergeError, ValueError):
    """A name that leads to nothing that can be used: what was expected and found, and what to do."""

    exit_code = 2

    def __init__(self, expected: str, found: str, hint: str = "") -> None:
        self.expected, self.found, self.hint = expected, found, hint
        super().__init__(f"expected {expected}, found {found}" + (f"; {hint}" if hint else ""))


def load_plugin(group: str, name: str, known: Collection[str] = ()) -> Any:
    """Return what a name stands for: an entry point of a group, as `evomerge.optimisers`, or a `module:attribute`.

    `known` are names of evomerge's own, for the message of the PluginError where there is none of that name.
    """
    if ":" in name:
        return _imported(name)
    paths = plugin_paths(group)
    if name not in paths:
        names = [*known, *paths]
        expected = f"one of {few_of(names, name)}" if names else f"module:name, or an entry point of {group}"
        raise PluginError(expected, in_words(name), did_you_mean(name, names))
    return _imported(paths[name])


def plugin_paths(group: str) -> dict[str, str]:
    """Return name -> `module:attribute` of what installed packages bring to a group, by name."""
    return {point.name: point.value for point in sorted(entry_points(group=group), key=lambda point: point.name)}


def callbacks() -> tuple[Callable[..., object], ...]:
    """Return the callbacks that installed packages bring, in the order of their names."""
    return tuple(_imported(path) for path in plugin_paths("evomerge.callbacks").values())


def _imported(path: str) -> Any:
    module, _, attribute = path.partition(":")
    try:
        found = importlib.import_module(module)
    except Exception as error:  # whatever a module of somebody else raises while it is imported
        hint = "install its package, or add its directory to PYTHONPATH"
        reason = f"{module!r} ({type(error).__name__}: {error})"
        missing = isinstance(error, ModuleNotFoundError)
        raise PluginError("a module that can be imported", reason, hint if missing else "") from error
    for part in attribute.split("."):
        if not hasattr(found, part):
            public = [name for name in vars(found) if not name.startswith("_")]
            raise PluginError(f"something that {module} has", in_words(attribute), did_you_mean(part, public))
        found = getattr(found, part)
    return found
