"""Where one round of the soak happens, and what it may do there."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.soak.children import Child
from tests.soak.tally import Tally


@dataclass
class Place:
    """A fresh directory, the undisturbed runs to compare with, and the count of what was sent."""

    directory: Path
    undisturbed: Path
    kind: str
    tally: Tally
    subject: str = ""  # what is harmed, for the message
    children: list[Child] = field(default_factory=list)
    undo: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def child(
        self,
        work: Callable[..., object],
        *arguments: object,
        environment: Mapping[str, str | None] | None = None,
        before: Callable[[], Any] | None = None,
    ) -> Child:
        """Start a process; its output is in `N.log`."""
        log = self.directory / f"{len(self.children)}.log"
        self.children.append(Child(log, work, *arguments, environment=environment, before=before))
        return self.children[-1]

    @property
    def said(self) -> str:
        """What the last child printed."""
        return self.children[-1].said[-1500:]

    def clear(self) -> None:
        """End what still runs and undo what was done to the surroundings."""
        for child in self.children:
            if child.send(signal.SIGKILL):
                child.wait()
        self.undo.close()

    def kill(self, child: Child, number: signal.Signals = signal.SIGKILL) -> bool:
        """Send a signal and count it, if the process was there to get it."""
        met = child.send(number)
        if met:
            self.tally.sent[self.kind, number.name] += 1
        return met
