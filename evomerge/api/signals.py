"""Signals that end a search: the first finishes what is running, the second ends the process."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

_SOON = 0.05  # seconds


def interrupt() -> None:
    """Stop what the main thread does as Ctrl-C does it: first gently, then at once."""
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)


@contextlib.contextmanager
def repeating_lost_interrupts() -> Iterator[None]:
    """Raise Ctrl-C again, a moment later, where it came while the garbage collector ran, which lets nothing through."""
    others = sys.unraisablehook

    def hook(lost: UnraisableHookArgs, /) -> None:
        if lost.exc_type is not KeyboardInterrupt:
            others(lost)
            return
        with contextlib.suppress(RuntimeError):  # the interpreter ends by itself
            threading.Timer(_SOON, interrupt).start()

    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = others


@contextlib.contextmanager
def draining(drain: Callable[[], None]) -> Iterator[None]:
    """Make the first SIGINT, SIGTERM or SIGHUP finish what is running; the second ends the process at once.

    Signals are the main thread's: a search in another one runs without. What is ignored stays so, as SIGHUP under
    nohup. The handler runs inside whatever runs, so that it only notes what the search then says.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(number: int, _: object) -> None:
        drain()
        signal.signal(number, previous[signal.Signals(number)])

    ending = [n for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) != signal.SIG_IGN]
    previous = {number: signal.signal(number, handle) for number in ending}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
