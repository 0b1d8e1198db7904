"""Processes to be harmed: forked from a warm server, so that one costs no start of Python and no import of torch."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from multiprocessing.process import BaseProcess
from pathlib import Path

from tests.evomerge.killing import CONTEXT

PRELOADED = [
    *("__main__", "tests.soak.faults", "cma", "pymoo.algorithms.moo.nsga2", "moocore", "torch", "transformers"),
    *("evomerge.cli.app", "evomerge.api.session", "evomerge.api.run", "evomerge.results.pages.frozen"),
]
PATIENCE_S = 300.0
SETTINGS = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "COLUMNS": "200"}


class Child:
    """A process that does some work; what it prints goes to a file."""

    def __init__(
        self,
        log: Path,
        work: Callable[..., object],
        *arguments: object,
        environment: Mapping[str, str | None] | None = None,
        before: Callable[[], object] | None = None,
    ) -> None:
        """Start it in a session of its own; `environment` is added to ours (None: taken away), `before` comes first."""
        self._log = log
        given = {**SETTINGS, **(environment or {})}
        self._process: BaseProcess = CONTEXT.Process(
            target=_work, args=(log, given, before, work, arguments), daemon=False
        )
        self._process.start()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.exitcode is None

    @property
    def said(self) -> str:
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def send(self, number: signal.Signals) -> bool:
        """Return whether it met a live process."""
        if not self.alive:
            return False
        os.kill(self.pid, number)
        return True

    def wait(self, patience_s: float = PATIENCE_S) -> int:
        """Return its exit code, -N for signal N; AssertionError where it does not end."""
        self._process.join(patience_s)
        code = self._process.exitcode
        if code is None:
            self._process.kill()
            self._process.join()
            raise AssertionError(f"still running after {patience_s:g} s: {self.said[-600:]}")
        return code

    def wait_until(self, condition: Callable[[], bool], patience_s: float = PATIENCE_S) -> bool:
        """Return whether a condition came true while it ran."""
        end = time.monotonic() + patience_s
        while self.alive and time.monotonic() < end:
            if condition():
                return True
            time.sleep(0.02)
        return False


def _work(
    log: Path,
    environment: Mapping[str, str | None],
    before: Callable[[], object] | None,
    work: Callable[..., object],
    arguments: tuple[object, ...],
) -> None:
    os.setsid()
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)
    for name, value in environment.items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value
    signal.signal(signal.SIGINT, signal.default_int_handler)  # as a program of its own has it
    if before is not None:
        before()
    code = 1
    try:
        work(*arguments)
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except KeyboardInterrupt:  # ends a program by the signal itself
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    sys.exit(code)
