"""Commands that a studio started: ordinary processes of their own, which go on when the studio ends.

What is known of each is in `.studio` of the directory, with its output: the next studio there shows and stops it too.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from evomerge.studio.errors import RequestError
from evomerge.whole_file import prepared_file

FOLDER = ".studio"
_MOST_GOING, _MOST_SHOWN = 8, 30
_TAIL = 48 * 1024  # bytes of output that are shown
_PROGRAM = (sys.executable, "-m", "evomerge.cli")
_NAME = re.compile(r"\d{1,9}")


class Job(BaseModel):
    """One command that was started.

    Attributes:
        id: counts from 1.
        action: what it is for.
        arguments: of `evomerge`.
        writes: the run directory that it writes to, from the studio's; empty: none.
        pid: its process.
        born: when that process began, in the machine's ticks: a number is given to another process later.
        at: seconds since the epoch.
        code: its exit code; None while it goes on, and where no studio saw it end.
    """

    model_config = ConfigDict(extra="forbid")

    id: int
    action: str
    arguments: list[str]
    writes: str = ""
    pid: int = 0
    born: str = ""
    at: float = 0.0
    code: int | None = None


class Jobs:
    """Starts commands in a directory, and stops them as Ctrl-C does."""

    def __init__(self, directory: Path) -> None:
        self._directory, self._folder = directory, directory / FOLDER
        self._lock, self._waiting = threading.Lock(), threading.Lock()
        self._children: dict[int, int] = {}  # job -> the process that is ours to wait for

    def all(self) -> list[Job]:
        """Return what was started here, the newest first."""
        with self._waiting:
            self._reap()
        found = []
        for file in self._folder.glob("*.json") if self._folder.is_dir() else ():
            with contextlib.suppress(ValidationError, OSError):  # not ours
                found.append(Job.model_validate_json(file.read_bytes()))
        return sorted(found, key=lambda job: -job.id)

    def shown(self) -> list[dict[str, object]]:
        """Return the newest as a page shows them."""
        return [self.told(job) for job in self.all()[:_MOST_SHOWN]]

    def told(self, job: Job) -> dict[str, object]:
        """Return one as a page shows it."""
        kept = ("id", "action", "arguments", "writes", "at", "code")
        return {name: getattr(job, name) for name in kept} | {"going": self.is_going(job)}

    def job(self, name: str) -> Job:
        """Return the one of a number."""
        for job in self.all() if _NAME.fullmatch(name) else ():
            if job.id == int(name):
                return job
        raise RequestError(404, "job: expected one that /api/control lists, found another")

    def is_going(self, job: Job) -> bool:
        """Return whether its process is still there."""
        if job.id in self._children:  # until its exit code is known
            return True
        return job.code is None and job.born != "" and _born(job.pid) == job.born

    def start(self, action: str, arguments: Sequence[str], *, writes: str = "") -> Job:
        """Start `evomerge` with these arguments; refused where another command of ours writes to the same run."""
        with self._lock:
            known = self.all()
            going = [job for job in known if self.is_going(job)]
            if writes and any(job.writes == writes for job in going):
                raise RequestError(409, f"{writes}: expected no other command that writes to it, found one; stop it")
            if len(going) >= _MOST_GOING:
                raise RequestError(409, f"expected at most {_MOST_GOING} commands at once, found as many; stop one")
            self._folder.mkdir(exist_ok=True)
            number = 1 + max((job.id for job in known), default=0)
            with (self._folder / f"{number}.log").open("wb") as log:
                child = subprocess.Popen(
                    [*_PROGRAM, *arguments],
                    cwd=self._directory,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, "PYTHONUNBUFFERED": "1", "NO_COLOR": "1"},
                    start_new_session=True,  # Ctrl-C of the studio is not theirs
                )
            self._children[number] = child.pid
            child.returncode = 0  # or it would warn that its process outlives it, which is what is wanted
            job = Job(id=number, action=action, arguments=list(arguments), writes=writes, pid=child.pid)
            job = job.model_copy(update={"born": _born(child.pid), "at": time.time()})
            self._keep(job)
            return job

    def stop(self, job: Job) -> None:
        """End one as Ctrl-C does: a search finishes and saves what is running; a second time ends it at once."""
        if not self.is_going(job):
            raise RequestError(409, f"job {job.id}: expected one that goes on, found that it has ended")
        with contextlib.suppress(ProcessLookupError):
            os.kill(job.pid, signal.SIGINT)

    def output(self, job: Job) -> str:
        """Return the end of what it has printed."""
        try:
            with (self._folder / f"{job.id}.log").open("rb") as log:
                size = log.seek(0, os.SEEK_END)
                log.seek(max(0, size - _TAIL))
                return log.read(_TAIL).decode("utf-8", "replace")
        except OSError:
            return ""

    def _reap(self) -> None:
        for number, pid in list(self._children.items()):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                del self._children[number]
                with contextlib.suppress(ValidationError, OSError):
                    job = Job.model_validate_json((self._folder / f"{number}.json").read_bytes())
                    self._keep(job.model_copy(update={"code": os.waitstatus_to_exitcode(status)}))

    def _keep(self, job: Job) -> None:
        prepared_file(self._folder / f"{job.id}.json")(job.model_dump_json() + "\n")


def _born(pid: int) -> str:
    """Return when a process began; empty where there is none, or it has ended and nobody has asked how."""
    try:
        state, *rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (OSError, ValueError):
        return ""
    return "" if state == "Z" else rest[18]
