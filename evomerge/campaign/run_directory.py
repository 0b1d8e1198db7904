"""The run directory: where one campaign keeps everything, and the lock that lets one process write to it."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evomerge.archive import Archive, ArchiveError
from evomerge.campaign.events import Callback, tell_all
from evomerge.campaign.origin import NOTE
from evomerge.campaign.owner_file import OWNER, RunDirectoryError, owned
from evomerge.campaign.trust import check_code, recorded_code
from evomerge.config import CampaignConfig, ConfigError
from evomerge.config.recorded import RecordedCampaign, read_recorded
from evomerge.config.yaml_document import parse_yaml
from evomerge.version import __version__
from evomerge.visible import VisibleFormatter
from search_spaces.file_lock import hold

_RULES = ("by_group", "by_content", "by_place")  # by which items are split, the newest first
# What evomerge writes under names that it chooses itself, in the directory of a run and in its directories.
_FULL_OF_WRITTEN = ("figures", "stages", "tokens", "logs")
_WRITTEN = ("lock", OWNER, "log.txt", "campaign.yaml", "notes.json", "report.html", *_FULL_OF_WRITTEN)


class _RunLog(logging.FileHandler):
    """Writes what its thread logs; of searches that overlap, the last leaves the levels as the first found them."""

    def __init__(self, file: Path) -> None:
        super().__init__(file)
        self.setFormatter(VisibleFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        thread = threading.get_ident()
        self.addFilter(lambda record: record.thread == thread)
        self.levels_before: dict[str, int] = {}

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  (the name is logging's)
        """Print nothing where a line cannot be written, as on a full disk: the archive will say so."""

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
    def tokens(self) -> Path:
        """Token ids of what its tasks ask, for every process that scores; made again where they are missing."""
        return self.root / "tokens"

    @property
    def stages(self) -> Path:
        """The runs of a campaign's stages, but for the last; with the campaign file of them all."""
        return self.root / "stages"

    @property
    def stage_archives(self) -> list[Path]:
        """The event stores of the stages that have one, but for the last stage's."""
        return sorted(self.stages.glob("*/archive.sqlite"))

    def refuse_links(self) -> None:
        """Raise where a link or a pipe stands for a file that would be written: it may lead anywhere.

        Raises:
            RunDirectoryError: it names the first one.
        """
        for path in (self.root / name for name in _WRITTEN):
            below = path.iterdir() if path.name in _FULL_OF_WRITTEN and path.is_dir() else ()
            for file in (path, *below):
                if file.is_symlink() or (file.exists() and not (file.is_file() or file.is_dir())):
                    found = f"a link to {file.readlink()}" if file.is_symlink() else "a pipe or a device"
                    raise RunDirectoryError(
                        f"{file}: expected a file that evomerge may write, found {found}; remove it"
                    )

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Make the directory, hold it for this process, and log to `log.txt` what this thread has to say.

        The lock goes with the process, however it dies; for file systems without locks see `owned`.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            self.refuse_links()
            lock = os.open(self.root / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise RunDirectoryError(f"{self.root}: cannot write here ({error.strerror})") from error
        with contextlib.ExitStack() as closing:
            closing.callback(os.close, lock)
            locked = self._acquire(lock)
            closing.enter_context(_RunLog(self.root / "log.txt").attached())
            if not locked:
                closing.enter_context(owned(self.root))
            yield

    def _acquire(self, lock: int) -> bool:
        """Return whether the directory is locked now; not so where its file system has no locks."""
        try:
            locked = hold(lock, wait=False)
        except BlockingIOError:
            holder = os.pread(lock, 32, 0).decode().strip() or "unknown"
            raise RunDirectoryError(
                f"{self.root}: in use by the live process {holder}; wait for it, stop it, or choose another --run-dir"
            ) from None
        os.ftruncate(lock, 0)
        os.pwrite(lock, str(os.getpid()).encode(), 0)
        return locked


def recorded_config(archive: Archive, *, trust: bool = False) -> CampaignConfig:
    """Return the resolved config that an archive records, whether or not its inputs are still there.

    Raises:
        UntrustedCodeError: it names plug-ins by dotted paths, which would be imported, and the user did not begin it.
        ArchiveError: this version cannot read it.
    """
    plugins = [one for one in recorded_code(archive) if one.is_plugin]
    check_code(plugins, archive.noted(NOTE), "the archive", trust=trust)
    return recorded_campaign(archive).config


def recorded_campaign(archive: Archive) -> RecordedCampaign:
    """Return the same, with the keys that this version does not know; plug-ins that it names are imported."""
    try:
        found = archive.parsed("campaign", read_recorded)
    except ArchiveError as error:
        if isinstance(error.__cause__, ConfigError):  # whole, but of another version
            problems = "; ".join(map(str, error.__cause__.problems[:3]))
            raise ArchiveError(
                f"{archive.path}: evomerge {__version__} cannot read its campaign ({problems}); "
                f"evomerge {archive.noted('evomerge')} wrote it: use that version"
            ) from error
        raise
    if found is None:
        raise ArchiveError(f"{archive.path}: table campaign, row campaign: it is missing; put a backup in its place")
    return found


def refuse_unknown_keys(archive: Archive) -> None:
    """Raise where a search would go on without keys that its campaign has."""
    if unknown := recorded_campaign(archive).unknown:
        raise RunDirectoryError(
            f"{archive.path}: this campaign has keys that evomerge {__version__} does not know: {', '.join(unknown)}; "
            f"evomerge {archive.noted('evomerge')} wrote it: go on with that version or a newer one"
        )


def split_as_begun(config: CampaignConfig, directory: RunDirectory, callbacks: Sequence[Callback]) -> CampaignConfig:
    """Return the config with the rule by which the items of a search were split when it, or its first stage, began."""
    for path in (*sorted(directory.stages.glob("*/archive.sqlite")), directory.archive):
        if config.splits.drawn != "by_place" and path.exists():
            with contextlib.closing(Archive.read(path)) as archive:
                begun: Any = archive.parsed("campaign", parse_yaml)  # no more: the record may name plug-ins
            drawn = config.splits.drawn if begun is None else begun.data.get("splits", {}).get("drawn", "by_place")
            if drawn in _RULES and _RULES.index(drawn) > _RULES.index(config.splits.drawn):
                by = "the items' order" if drawn == "by_place" else "what items ask, whatever their groups"
                tell_all(callbacks, f"split by {by}, as this search began in an older evomerge", "items")
                return config.model_copy(update={"splits": config.splits.model_copy(update={"drawn": drawn})})
    return config
