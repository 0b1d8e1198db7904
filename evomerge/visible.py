"""Names are data: characters that steer a terminal, or turn the direction of a text, are shown and not obeyed."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Any

# Controls but line feed and tab, separators of lines, marks and overrides of direction, what takes no room, and halves
# of surrogate pairs, which no file can hold.
STEERING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)


def visible(text: str) -> str:
    r"""Return a text whose steering characters are written out, as \x1b; line feeds and tabs stay.

    >>> from evomerge.visible import visible
    >>> print(visible("acc[en]\x1b[2J"))
    acc[en]\x1b[2J
    """
    return STEERING.sub(_written, text)


def visible_data(data: Any) -> Any:
    """Return plain data, as JSON holds it, with every text in it visible, keys too."""
    if isinstance(data, str):
        return visible(data)
    if isinstance(data, Mapping):
        return {visible_data(key): visible_data(value) for key, value in data.items()}
    return [visible_data(value) for value in data] if isinstance(data, list | tuple) else data


class VisibleFormatter(logging.Formatter):
    """Formats records of a log so that what they name is shown."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record's text."""
        return visible(super().format(record))


def _written(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
