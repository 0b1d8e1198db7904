"""A log beside an archive that is not its own: SQLite would replay it, and mix two pasts."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

from evomerge.archive.digests import Seal
from evomerge.archive.errors import SQLITE_ERRORS, ArchiveError
from evomerge.archive.rows import Rows
from evomerge.archive.schema import RUN_ID, sealed_from
from evomerge.archive.soundness import check_newest


def refuse_foreign_log(path: Path) -> None:
    """Raise where the log beside an archive is another one's, or of another state of it; nothing is changed.

    A kill leaves a log, and its archive needs it. Whoever copies an archive over another, or puts a backup back, leaves
    the log of what was there before.
    """
    log = path.with_name(path.name + "-wal")
    if not (log.exists() and log.stat().st_size):
        return
    try:
        with contextlib.closing(_opened(path, "mode=ro")) as both:
            alone = run_id_in_file(path)
            seal = _facts(both).get(RUN_ID)
            why = "it is of another run" if alone is not None and alone != seal else _misfit(path, both)
    except SQLITE_ERRORS as error:
        why = str(error)
    if why:
        raise ArchiveError(
            f"{log}: it does not fit {path.name} ({why}): was {path.name} copied here, or a backup put back? "
            f"To go on with {path.name} alone, move {log.name} away"
        )


def _opened(path: Path, options: str) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.resolve().as_uri()}?{options}", uri=True, timeout=30)


def _facts(connection: sqlite3.Connection) -> dict[str, str]:
    return dict(connection.execute("SELECT key, value FROM campaign WHERE key IN ('run_id', 'sealed_from')"))


def run_id_in_file(path: Path) -> str | None:
    """Return the run id of the file without its log; None where it has none, or its log is needed to read it."""
    try:
        with contextlib.closing(_opened(path, "immutable=1")) as alone:
            return _facts(alone).get(RUN_ID)
    except SQLITE_ERRORS:
        return None


def _misfit(path: Path, both: sqlite3.Connection) -> str:
    ((found,),) = both.execute("PRAGMA quick_check(1)")
    if found != "ok":
        return str(found)
    facts, rows = _facts(both), Rows(both, path)
    if RUN_ID in facts:
        check_newest(rows, Seal(facts[RUN_ID]), sealed_from(facts))
    return "; ".join(map(str, list(rows.damage.values())[:1]))
