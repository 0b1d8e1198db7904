"""Doctests in docstrings become code blocks of the API reference: an extension of griffe.

A docstring of ours has its example as plain paragraphs that begin with `>>>`, which Markdown would read as quotations.
"""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Object

_DOCTEST = re.compile(r"^>>> .*(?:\n.+)*", re.MULTILINE)


class Doctests(Extension):
    """Puts fences around doctests."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Change the docstring of an object that was read; griffe calls this."""
        if obj.docstring:
            obj.docstring.value = _DOCTEST.sub(r"```pycon\n\g<0>\n```", obj.docstring.value)
