"""What a running search tells its callbacks in words; of its candidates, `evomerge.campaign.events` tell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from evomerge.campaign.events import emit

Callback: TypeAlias = Callable[[Any], object]
"""Is called with each event, one after the other, in the thread of the search; what it raises becomes a warning."""


@dataclass(frozen=True)
class Noted:
    """Something to know, in words: what is being read, what a preflight found, where a warm start came from.

    Attributes:
        text: one line.
        subject: what it is about; may be empty.
    """

    text: str
    subject: str = ""


def tell_all(callbacks: Sequence[Callback], text: str, subject: str = "") -> None:
    """Tell every callback something in words."""
    emit([Noted(text, subject)], callbacks)  # type: ignore[list-item]
