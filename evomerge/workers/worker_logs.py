"""What workers on other nodes have to say: kept by each until its next answer, written by the driver to RUN/logs."""

from __future__ import annotations

import contextlib
import logging
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from evomerge.visible import VisibleFormatter

DIRECTORY = "logs"
_MOST = 1000  # lines between two answers


class LogBuffer(logging.Handler):
    """Keeps what the rooms of evomerge log in this process, the newest lines."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(VisibleFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        self._lines: deque[str] = deque(maxlen=_MOST)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record."""
        self._lines.append(self.format(record))

    def attach(self) -> None:
        """Listen, for as long as the process lives."""
        for room in ("evomerge", "fitness", "search_spaces"):
            logger = logging.getLogger(room)
            logger.addHandler(self)
            logger.setLevel(logging.INFO)

    def taken(self) -> list[str]:
        """Return what was said since it was last asked."""
        lines = []
        while self._lines:
            lines.append(self._lines.popleft())
        return lines


def write_lines(run_dir: Path, worker: int, place: str, lines: Sequence[str]) -> None:
    """Append what a worker said to its file; a full disk is the archive's to complain of."""
    if lines:
        with contextlib.suppress(OSError):
            file = run_dir / DIRECTORY / f"worker-{worker}.txt"
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("a", encoding="utf-8") as out:
                out.writelines(f"{place} {line}\n" for line in lines)
