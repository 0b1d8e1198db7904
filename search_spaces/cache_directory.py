"""Where files are kept that only save time."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def cache_directory(kind: str) -> Path:
    """Return the directory of one kind of such files: in `$EVOMERGE_CACHE`, or in `~/.cache/evomerge`."""
    return Path(os.environ.get("EVOMERGE_CACHE") or "~/.cache/evomerge").expanduser() / kind


def keep_text(file: Path, text: str) -> None:
    """Write a file of such a directory, whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    handle, partial = tempfile.mkstemp(dir=file.parent, suffix=".partial")
    with os.fdopen(handle, "w", encoding="utf-8") as opened:
        opened.write(text)
    os.replace(partial, file)
