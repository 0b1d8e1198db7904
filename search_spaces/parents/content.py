"""What a checkpoint contains, as digests: equal files, equal digests, wherever they lie.

Every file is hashed once on a machine: its digest is kept, in `$EVOMERGE_CACHE/digests`, with all that a file system
tells of a change: size, the times of its content and of its inode (no program sets that one back), and the inode.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

from search_spaces.cache_directory import cache_directory, keep_text
from search_spaces.errors import SpaceError
from search_spaces.parents.checkpoint import Checkpoint
from search_spaces.parents.checkpoint_files import (
    ADAPTER_CONFIG,
    ADAPTER_WEIGHTS,
    CONFIG,
    TOKENIZER_FILES,
)
from search_spaces.parents.parents import Parents
from search_spaces.parents.weight_files import find_shards

_PROCESSOR_FILES = ("*processor_config.json",)
_DIGEST = re.compile("[0-9a-f]{64}")
_TICK_NS = 100_000_000  # two changes within one tick of a file system's clock have one time


def content_digest(checkpoint: Checkpoint) -> str:
    """Return 64 hex digits that name a checkpoint's weights and config, and those of the adapter on it."""
    digest = hashlib.sha256()
    for file in _weights_and_config(checkpoint):
        digest.update(f"{file.name}\0{file_digest(file)}\0".encode())
    return digest.hexdigest()


def file_digests(checkpoint: Checkpoint) -> dict[str, str]:
    """Return file name -> SHA-256 of all that a merge, a score or an export of a checkpoint follows from.

    These are its weights, config, adapter, tokenizer and processor; licences and the like are not among them.
    """
    files = {file.name: file for file in _weights_and_config(checkpoint)}
    beside = checkpoint.tokenizer_directory
    for pattern in (*TOKENIZER_FILES, *_PROCESSOR_FILES):
        files |= {str(file.relative_to(beside)): file for file in beside.glob(pattern) if file.is_file()}
    return {name: file_digest(file) for name, file in sorted(files.items())}


def parents_digest(parents: Parents, version: int) -> str:
    """Return 64 hex digits that name what the tensors of opened parents contain, under their names.

    Raises:
        SpaceError: a parent's files cannot be read any more.
    """
    said = []
    for name, checkpoint in sorted(parents.checkpoints.items()):
        try:
            files = file_digests(checkpoint)
        except SpaceError as error:
            raise SpaceError(f"parent {name!r}: its files changed while it was in use: {error}") from error
        said.append([name, files, list(checkpoint.names), checkpoint.tied])
    return hashlib.sha256(json.dumps([version, repr(parents.tokenizer), said]).encode()).hexdigest()


def commit_of(directory: Path) -> str | None:
    """Return the commit of a directory in the hub's cache; None for any other one."""
    in_cache = directory.parent.name == "snapshots" and re.fullmatch("[0-9a-f]{40}", directory.name)
    return directory.name if in_cache else None


def file_digest(file: Path) -> str:
    """Return the SHA-256 of a file's contents, 64 hex digits.

    Raises:
        SpaceError: it cannot be read.
    """
    try:
        state = file.stat()
        kept = cache_directory("digests") / f"{_stamp(file, state)}.sha256"
        with contextlib.suppress(OSError, ValueError):
            known = kept.read_text(encoding="ascii")
            if _DIGEST.fullmatch(known):
                return known
        with file.open("rb") as opened:
            found = hashlib.file_digest(opened, "sha256").hexdigest()
        changing = _stamp(file, file.stat()) != _stamp(file, state) or time.time_ns() - state.st_ctime_ns < _TICK_NS
    except OSError as error:
        raise SpaceError(f"{file}: expected a readable file, found: {error.strerror or error}") from error
    if not changing:
        with contextlib.suppress(OSError):  # it only saves time
            keep_text(kept, found)
    return found


def _stamp(file: Path, state: os.stat_result) -> str:
    said = [str(file.resolve()), state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()


def _weights_and_config(checkpoint: Checkpoint) -> Iterator[Path]:
    yield from sorted(find_shards(checkpoint.directory))
    yield checkpoint.directory / CONFIG
    if checkpoint.adapter is not None:
        folder = checkpoint.adapter.files.directory
        yield from (folder / ADAPTER_WEIGHTS, folder / ADAPTER_CONFIG)
