"""The keys that mergekit has on its command line only: `allow_differences` (--allow-crimes) and `trust_remote_code`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from search_spaces.errors import SpaceError
from search_spaces.recipes.permissions import Permissions

_DIFFERENCES, _CODE = PERMISSIONS = ("allow_differences", "trust_remote_code")


def read_permissions(top: Mapping[str, Any]) -> Permissions:
    """Return what a file lets through.

    >>> read_permissions({"allow_differences": ["rope_theta"]}).differences
    ('rope_theta',)
    """
    named, code = top.get(_DIFFERENCES) or [], top.get(_CODE) or False
    keys = [named] if isinstance(named, str) else named
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise SpaceError(f"{_DIFFERENCES}: expected keys of config.json, as [rope_theta], found {named!r}")
    if not isinstance(code, bool):
        raise SpaceError(f"{_CODE}: expected true or false, found {code!r}")
    return Permissions(tuple(keys), code)
