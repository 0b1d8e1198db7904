"""The run directory: where one campaign keeps everything, and the lock that lets one process write to it."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from evomerge.archive import Archive
from evomerge.config import CampaignConfig, read_campaign
from evomerge.errors import EvomergeError
from evomerge.visible import VisibleFormatter


class RunDirectoryError(EvomergeError, RuntimeError):
    """The run directory cannot be used."""


class _RunLog(logging.FileHandler):
    """Writes what its thread logs; of searches that overlap, the last leaves the levels as the first found them."""

    def __init__(self, file: Path) -> None:
        super().__init__(file)
        self.setFormatter(VisibleFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        thread = threading.get_ident()
        self.addFilter(lambda record: record.thread == thread)
        self.levels_before: dict[str, int] = {}

    @contextlib.contextmanager
    def attached(self) -> Iterator[None]:
        loggers = [logging.getLogger(room) for room in ("evomerge", "fitness", "search_spaces")]
        for logger in loggers:
            found = [other.levels_before[logger.name] for other in logger.handlers if isinstance(other, _RunLog)]
            self.levels_before[logger.name] = found[0] if found else logger.level
            logger.addHandler(self)
            logger.setLevel(min(logger.level or logging.INFO, logging.INFO))
        try:
            yield
        finally:
            for logger in loggers:
                logger.removeHandler(self)
                if not any(isinstance(other, _RunLog) for other in logger.handlers):
                    logger.setLevel(self.levels_before[logger.name])
            self.close()


@dataclass(frozen=True)
class RunDirectory:
    """Paths of one run."""

    root: Path

    @property
    def archive(self) -> Path:
        """The event store."""
        return self.root / "archive.sqlite"

    @property
    def campaign(self) -> Path:
        """The resolved campaign file, for people; the archive holds the text that counts."""
        return self.root / "campaign.yaml"

    @property
    def report(self) -> Path:
        """The HTML report."""
        return self.root / "report.html"

    @property
    def exports(self) -> Path:
        """Exported checkpoints."""
        return self.root / "exports"

    @property
    def stages(self) -> Path:
        """The runs of a campaign's stages, but for the last; with the campaign file of them all."""
        return self.root / "stages"

    @property
    def stage_archives(self) -> list[Path]:
        """The event stores of the stages that have one, but for the last stage's."""
        return sorted(self.stages.glob("*/archive.sqlite"))

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Make the directory, hold it for this process, and log to `log.txt` what this thread has to say.

        The lock goes with the process, however it dies.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            lock = os.open(self.root / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise RunDirectoryError(f"{self.root}: cannot write here ({error.strerror})") from error
        try:
            self._acquire(lock)
            with _RunLog(self.root / "log.txt").attached():
                yield
        finally:
            os.close(lock)

    def _acquire(self, lock: int) -> None:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(lock, 32, 0).decode().strip() or "unknown"
            raise RunDirectoryError(
                f"{self.root}: in use by the live process {holder}; wait for it, stop it, or choose another --run-dir"
            ) from None
        os.ftruncate(lock, 0)
        os.pwrite(lock, str(os.getpid()).encode(), 0)


def recorded_config(archive: Archive) -> CampaignConfig:
    """Return the resolved config that an archive records, whether or not its inputs are still there."""
    return read_campaign(archive.campaign)
