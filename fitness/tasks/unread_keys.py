"""Keys of a task file that nobody reads, as those that were misspelt: they are told of, once a file."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping

from fitness.errors import did_you_mean
from fitness.tasks.json_lines import quoted

_LOG = logging.getLogger(__name__)
_MOST = 4


def tell_unread_keys(place: str, line_of: Mapping[str, int], read: Iterable[str]) -> None:
    """Say which keys of a file (key -> its first line) are none of those that are read; nothing where there is none."""
    known = tuple(read)
    unread = [key for key in line_of if key not in known]
    if unread:
        more = f" and {len(unread) - _MOST} more" if len(unread) > _MOST else ""
        listed = ", ".join(_said(key, line_of[key], known) for key in unread[:_MOST])
        _LOG.warning("%s: not read: %s%s", place, listed, more)


def _said(key: str, line: int, known: Iterable[str]) -> str:
    hint = did_you_mean(key, [name for name in known if len(name) > 2])  # `id` is near to every short word
    return f"key {quoted(repr(key))} (line {line}{f'; {hint}' if hint else ''})"
