"""Functions of task files that run what models write, called inside of bubblewrap.

Inside there is no network, no other process, no file of the user's, an empty home and a temporary directory in memory;
a call ends in time, with little memory. bubblewrap is what Flatpak runs programs in; it needs no rights.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fitness.errors import FitnessError

_LOG = logging.getLogger(__name__)
_SYSTEM = ("/usr", "/bin", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/alternatives")
_SCRATCH = 256 << 20  # bytes of temporary files
_RUNNER = Path(__file__).parent / "runner.py"


@dataclass(frozen=True)
class Limits:
    """What one call may take.

    Attributes:
        seconds: wall-clock time.
        memory: bytes of address space, above what the function's imports take.
    """

    seconds: float = 60.0
    memory: int = 2 << 30


def require_sandbox(task: str) -> None:
    """Find bubblewrap, and that it works on this machine.

    Raises:
        FitnessError: there is none, or it cannot make namespaces here.
    """
    if shutil.which("bwrap") is None:
        raise FitnessError(
            f"task {task!r}: expected bubblewrap to run what models write in, found no program bwrap; install it "
            "(apt install bubblewrap)"
        )
    probe = subprocess.run(
        [*_sandboxed(()), "/usr/bin/env", "true"], capture_output=True, text=True, check=False, timeout=60
    )
    if probe.returncode:
        said = (probe.stderr.strip() or "no reason given").splitlines()[0]
        raise FitnessError(f"task {task!r}: expected bubblewrap to work on this machine, found: {said}")


class SandboxedFunction:
    """Calls a function of a task file inside of a sandbox, which is started at the first call.

    Arguments and values are what JSON can say.

    Args:
        function: of a file; it is named by it, and not called here.
        task: for messages.
        zero: the value of a call that is ended, because the time is over, or the memory. After a call whose value is a
            mapping it is the same mapping of zeros, as some metrics name what they count.
        limits: of each call.
    """

    def __init__(self, function: Callable[..., Any], task: str, *, zero: Any = 0.0, limits: Limits = Limits()) -> None:
        self.__name__ = function.__name__  # lm-eval names metrics by it
        self._file, self._task, self._limits = Path(function.__code__.co_filename).resolve(), task, limits
        self._zero = zero
        self._process: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        """Return the function's value.

        Raises:
            FitnessError: the function raised, or the sandbox cannot be started.
        """
        with self._lock:
            process = self._process or self._started()
            assert process.stdin is not None
            with contextlib.suppress(BrokenPipeError):
                process.stdin.write(json.dumps([arguments, keywords]) + "\n")
                process.stdin.flush()
            answer = self._answer(process)
        if "stopped" in answer:
            _LOG.debug("task %r: %s has no value: %s", self._task, self.__name__, answer["stopped"])
            return self._zero
        if "error" in answer:
            raise FitnessError(f"task {self._task!r}: {self.__name__} raised in the sandbox: {answer['error']}")
        if isinstance(answer["value"], dict):
            self._zero = dict.fromkeys(answer["value"], 0.0)
        return answer["value"]

    def _started(self) -> subprocess.Popen[str]:
        limits = (str(self._limits.seconds), str(self._limits.memory))
        command = [sys.executable, "-I", str(_RUNNER), str(self._file), self.__name__, *limits, _modules()]
        process = subprocess.Popen(
            [*_sandboxed((str(self._file.parent), str(_RUNNER), _modules())), *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
        )
        weakref.finalize(self, _end, process)
        self._process = process
        ready = self._answer(process)
        if "value" not in ready:
            self._process = None
            said = ready.get("error") or ready.get("stopped")
            raise FitnessError(f"task {self._task!r}: {self._file} cannot be loaded in the sandbox: {said}")
        return process

    def _answer(self, process: subprocess.Popen[str]) -> dict[str, Any]:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            self._process = None
            return {"stopped": "the sandbox was ended"}
        try:
            answer = json.loads(line)
        except ValueError:
            answer = None
        # What ran wrote into the answer: it is none.
        return answer if isinstance(answer, dict) else {"stopped": "its answer cannot be read"}


def _end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def _modules() -> str:
    """Return where libraries keep metrics that are loaded by name."""
    home = os.environ.get("HF_HOME", "~/.cache/huggingface")
    return str(Path(os.environ.get("HF_MODULES_CACHE") or Path(home, "modules")).expanduser())


def _sandboxed(visible: tuple[str, ...]) -> list[str]:
    """Return the command that the rest runs in; what it sees of this machine it cannot change."""
    places = [*_SYSTEM, *dict.fromkeys([sys.prefix, sys.base_prefix]), *visible]
    bound = [word for place in places if os.path.exists(place) for word in ("--ro-bind", place, place)]
    said = {"PATH": "/usr/bin:/bin", "HOME": "/tmp/home", "HF_HOME": "/tmp/home", "HF_ALLOW_CODE_EVAL": "1"}
    said |= {"HF_HUB_OFFLINE": "1", "HF_EVALUATE_OFFLINE": "1", "OMP_NUM_THREADS": "1", "LC_ALL": "C.UTF-8"}
    named = [word for key, value in said.items() for word in ("--setenv", key, value)]
    apart = ["--unshare-all", "--die-with-parent", "--new-session", "--clearenv", "--proc", "/proc", "--dev", "/dev"]
    return [
        "bwrap",
        *apart,
        "--size",
        str(_SCRATCH),
        "--tmpfs",
        "/tmp",
        *bound,
        "--remount-ro",
        "/",
        *named,
        "--chdir",
        "/tmp",
    ]
