"""Where files are kept that only save time."""

from __future__ import annotations

import os
from pathlib import Path


def cache_directory(kind: str) -> Path:
    """Return the directory of one kind of such files: in `$EVOMERGE_CACHE`, or in `~/.cache/evomerge`."""
    return Path(os.environ.get("EVOMERGE_CACHE") or "~/.cache/evomerge").expanduser() / kind
