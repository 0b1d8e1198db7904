"""A temporary directory that belongs to a run, with a path short enough for unix sockets."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

NAME = ".ray"
PREFIX = "evomerge-ray-"


def make_short_directory(run_dir: Path, max_bytes: int) -> Path:
    """Make `RUN_DIR/.ray`, or where that path is too long a directory elsewhere and `RUN_DIR/.ray` a link to it.

    Either way the run directory says what belongs to it: what a killed process left behind is removed first. Only one
    live process may use a run directory.

    Args:
        run_dir: the run directory; made if missing.
        max_bytes: the longest path that may be returned, in bytes.

    Returns:
        An absolute path of an empty directory.
    """
    run_dir = run_dir.resolve()
    run_dir.mkdir(parents=True, exist_ok=True)
    remove_short_directory(run_dir)
    entry = run_dir / NAME
    if len(os.fsencode(entry)) <= max_bytes:
        entry.mkdir()
        return entry
    short = Path(tempfile.mkdtemp(prefix=PREFIX)).resolve()
    if len(os.fsencode(short)) > max_bytes:
        short.rmdir()
        short = Path(tempfile.mkdtemp(prefix=PREFIX, dir="/tmp"))
    entry.symlink_to(short)
    return short


def remove_short_directory(run_dir: Path) -> None:
    """Remove what `make_short_directory` made; what is already gone is no error."""
    entry = run_dir.resolve() / NAME
    if entry.is_symlink():
        target = entry.readlink()
        if target.name.startswith(PREFIX):  # a link that is not ours is only unlinked
            shutil.rmtree(target, ignore_errors=True)
        entry.unlink(missing_ok=True)
    else:
        shutil.rmtree(entry, ignore_errors=True)
