"""Documents as JSON that may also stand inside a script of a page."""

from __future__ import annotations

import json
from typing import Any

_ESCAPES = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


def as_json(document: Any) -> str:
    """Return JSON with no `<`, so that nothing in it can close an element; NaN is a ValueError."""
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.translate({ord(letter): escape for letter, escape in _ESCAPES.items()})
