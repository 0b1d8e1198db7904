"""What hostile input may end in: success, or one of evomerge's own errors with a message, in bounded time."""

from __future__ import annotations

import contextlib
import signal
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from evomerge.errors import exit_code

CPU_SECONDS = 20.0
ROOMS = ("/evomerge/", "/fitness/", "/search_spaces/")


class HangError(BaseException):
    """It did not end."""


@dataclass
class Findings:
    """What was tried, how it ended, and the first input of every kind of defect."""

    tried: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    defects: dict[str, str] = field(default_factory=dict)


@contextlib.contextmanager
def bounded(seconds: float) -> Iterator[None]:
    """Raise HangError after so many seconds of this process's own work."""

    def hang(*_: object) -> None:
        raise HangError(f"not done within {seconds:g} s")

    before = signal.signal(signal.SIGVTALRM, hang)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def outcome(work: Callable[[], object], seconds: float = CPU_SECONDS) -> tuple[str, BaseException | None]:
    """Return "accepted", "refused" or the kind of a defect with where it was raised, and the error."""
    try:
        with bounded(seconds):
            work()
    except Exception as error:
        if exit_code(error) is not None and str(error).strip():
            return "refused", error
        return f"{type(error).__name__} in {_place(error)}", error
    except HangError as error:
        return f"a hang in {_place(error)}", error
    return "accepted", None


def _place(error: BaseException) -> str:
    """Return the innermost line of our own that an error went through."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if any(room in f.filename for room in ROOMS) and "/tests/" not in f.filename]
    frame = (own or frames)[-1]
    return f"{'/'.join(Path(frame.filename).parts[-3:])}:{frame.name}"
