"""Numbers that are derived from the parents' weights alone, such as thresholds, kept on disk for every process.

One file serves one set of parents: a line of JSON for each key, the last of equal ones counts. Lines are appended whole
and under a lock; one that a killed process left torn is no JSON, and its numbers are computed again.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import logging
import os
from collections.abc import Hashable
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np

from search_spaces.cache_directory import cache_directory
from search_spaces.file_lock import hold
from search_spaces.parents.content import parents_digest
from search_spaces.parents.parents import Parents

# To be raised whenever something of an old key would be found otherwise.
VERSION = 1

# Numbers that wait to be written: few enough to lose.
_MOST_WAITING = 256

# A table of one tensor and parent takes 6 KB: those of 100 billion parameters fit one file, and several such campaigns.
_MOST_BYTES = 10**9

_LOG = logging.getLogger(__name__)


class Keeping(Protocol):
    """Keeps numbers by key; equal keys promise equal numbers."""

    def find(self, key: Hashable) -> np.ndarray | None:
        """Return what was kept, float64 (n,), None if nothing was."""
        ...

    def add(self, key: Hashable, numbers: np.ndarray) -> None:
        """Keep some numbers, float64 (n,)."""
        ...

    def flush(self) -> None:
        """Let other processes see what was added."""
        ...


class Nowhere:
    """Keeps nothing."""

    def find(self, key: Hashable) -> np.ndarray | None:  # noqa: ARG002
        """Return None."""
        return None

    def add(self, key: Hashable, numbers: np.ndarray) -> None:
        """Do nothing."""

    def flush(self) -> None:
        """Do nothing."""


class KeptNumbers:
    """Numbers of one set of opened parents, under `$EVOMERGE_CACHE/thresholds` (default `~/.cache/evomerge`).

    Files least recently used go where there would be more than a gigabyte. What cannot be written is computed afresh by
    each process, and a warning says so once.
    """

    def __init__(self, parents: Parents, directory: Path | None = None) -> None:
        """Nothing is read before it is asked for; the parents' files are hashed then, once on a machine."""
        self._parents = parents
        self._directory = cache_directory("thresholds") if directory is None else directory
        self._read_to = 0
        self._found: dict[str, str] = {}
        self._waiting: dict[str, str] = {}

    @cached_property
    def name(self) -> str:
        """The digest of what the parents contain."""
        return parents_digest(self._parents, VERSION)

    @property
    def file(self) -> Path:
        """Where they are kept."""
        return self._directory / f"{self.name}.jsonl"

    def find(self, key: Hashable) -> np.ndarray | None:
        """Return what this or another process kept."""
        name = _name(key)
        if name not in self._found:
            self._read()
        text = self._found.get(name)
        return None if text is None else np.frombuffer(base64.b64decode(text), dtype="<f8")

    def add(self, key: Hashable, numbers: np.ndarray) -> None:
        """Keep some numbers; they are on disk after `flush`, or once many wait."""
        text = base64.b64encode(np.ascontiguousarray(numbers, dtype="<f8").tobytes()).decode("ascii")
        self._found[_name(key)] = self._waiting[_name(key)] = text
        if len(self._waiting) >= _MOST_WAITING:
            self.flush()

    def flush(self) -> None:
        """Append what waits."""
        if not self._waiting:
            return
        lines = [json.dumps([name, text], separators=(",", ":")) for name, text in self._waiting.items()]
        self._waiting.clear()
        try:
            _append(self.file, "\n".join(["", *lines, ""]).encode())
        except OSError as error:
            _LOG.warning(
                "thresholds cannot be kept in %s (%s): every process searches them; set EVOMERGE_CACHE to a directory "
                "with room",
                self._directory,
                error.strerror or error,
            )

    def _read(self) -> None:
        """Read the lines that are new."""
        with contextlib.suppress(OSError):
            if self.file.stat().st_size <= self._read_to:
                return
            with self.file.open("rb") as opened:
                opened.seek(self._read_to)
                new = opened.read()
            whole = new.rfind(b"\n") + 1  # another process may be writing the rest
            self._read_to += whole
            for line in new[:whole].splitlines():
                with contextlib.suppress(ValueError, TypeError):
                    name, text = json.loads(line)
                    base64.b64decode(text, validate=True)
                    self._found[str(name)] = text


def _name(key: Hashable) -> str:
    return hashlib.sha256(repr(key).encode()).hexdigest()[:32]


def _append(file: Path, content: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    if not file.exists():
        _make_room(file.parent)
    descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        hold(descriptor, wait=True)
        if os.fstat(descriptor).st_size + len(content) <= _MOST_BYTES:
            os.write(descriptor, content)
    finally:
        os.close(descriptor)


def _make_room(directory: Path) -> None:
    """Delete the files least recently used until they take less than half of what they may."""
    files = sorted((path.stat().st_mtime, path) for path in directory.glob("*.jsonl"))
    size = sum(path.stat().st_size for _, path in files)
    for _, path in files:
        if size <= _MOST_BYTES // 2:
            return
        size -= path.stat().st_size
        path.unlink(missing_ok=True)
