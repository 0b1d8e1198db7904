"""What a checkpoint contains, as a digest: equal files, equal digest, wherever they lie.

Every file is hashed once on a machine: its digest is kept with size and time of change, in `$EVOMERGE_CACHE/digests`.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from pathlib import Path

from search_spaces.cache_directory import cache_directory, keep_text
from search_spaces.errors import SpaceError
from search_spaces.parents.checkpoint import Checkpoint
from search_spaces.parents.checkpoint_files import ADAPTER_CONFIG, ADAPTER_WEIGHTS, CONFIG
from search_spaces.parents.weight_files import find_shards


def content_digest(checkpoint: Checkpoint) -> str:
    """Return 64 hex digits that name a checkpoint's weights and config, and those of the adapter on it."""
    files = [*sorted(find_shards(checkpoint.directory)), checkpoint.directory / CONFIG]
    if checkpoint.adapter is not None:
        folder = checkpoint.adapter.files.directory
        files += [folder / ADAPTER_WEIGHTS, folder / ADAPTER_CONFIG]
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.name}\0{file_digest(file)}\0".encode())
    return digest.hexdigest()


def file_digest(file: Path) -> str:
    """Return the SHA-256 of a file's contents, 64 hex digits.

    Raises:
        SpaceError: it cannot be read.
    """
    try:
        state = file.stat()
        stamp = [str(file.resolve()), state.st_size, state.st_mtime_ns]
        kept = cache_directory("digests") / f"{hashlib.sha256(json.dumps(stamp).encode()).hexdigest()}.sha256"
        with contextlib.suppress(OSError):
            return kept.read_text(encoding="ascii")
        with file.open("rb") as opened:
            found = hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError as error:
        raise SpaceError(f"{file}: expected a readable file, found: {error.strerror or error}") from error
    with contextlib.suppress(OSError):  # it only saves time
        keep_text(kept, found)
    return found
