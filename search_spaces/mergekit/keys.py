"""Checked access to the plain data of a YAML file: errors name the key, what was expected and what was found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from search_spaces.errors import SpaceError
from search_spaces.operators.registry import nearest_name


def mapping(value: object, key: str, known: tuple[str, ...]) -> Mapping[str, Any]:
    """Return a value that is a mapping with known keys only.

    Raises:
        SpaceError: it is none, or has another key.
    """
    if not isinstance(value, Mapping):
        raise SpaceError(f"{key}: expected keys and values, found {value!r}")
    for name in value:
        if name not in known:
            raise SpaceError(
                f"{key}: expected keys among {sorted(known)}, found {name!r}{nearest_name(str(name), known)}"
            )
    return value


def sequence(value: object, key: str) -> list[object]:
    """Return a value that is a list of at least one.

    Raises:
        SpaceError: it is none, or empty.
    """
    if not isinstance(value, list) or not value:
        raise SpaceError(f"{key}: expected a list of at least one, found {value!r}")
    return value
