"""Who began a run: a record that only this user's evomerge can write, of the code that the user's campaign named.

The record is a keyed digest (HMAC-SHA256). The key is the user's own and never leaves the state directory; so a run
that was moved is known again, and one that somebody else made, or changed so that it names other code, is not.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Collection
from pathlib import Path

NOTE = "origin"  # of an archive
_KEY_BYTES = 32


def state_directory() -> Path | None:
    """Return where a user's key is kept: `$EVOMERGE_STATE`, or in `$XDG_STATE_HOME` or ~/.local/state."""
    if own := os.environ.get("EVOMERGE_STATE"):
        return Path(own)
    try:
        return Path(os.environ.get("XDG_STATE_HOME") or "~/.local/state").expanduser() / "evomerge"
    except RuntimeError:  # a user without a home
        return None


def signed(code: Collection[str]) -> str:
    """Return the record of code that this user's campaign names; empty where no key can be kept."""
    key = _key(make=True)
    listed = sorted(set(code))
    return "" if key is None else json.dumps({"code": listed, "by": _digest(key, listed)})


def is_ours(record: str | None, code: Collection[str] = ()) -> bool:
    """Return whether this user's evomerge wrote a record, and of all of this code."""
    key = _key(make=False)
    try:
        read = json.loads(record or "null")
        listed, by = list(map(str, read["code"])), str(read["by"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return False
    return key is not None and hmac.compare_digest(_digest(key, listed), by) and set(code) <= set(listed)


def _digest(key: bytes, code: list[str]) -> str:
    return hmac.new(key, json.dumps(["evomerge run", code]).encode(), hashlib.sha256).hexdigest()


def _key(*, make: bool) -> bytes | None:
    directory = state_directory()
    if directory is None:
        return None
    file = directory / "key"
    try:
        if make and not file.exists():
            directory.mkdir(parents=True, exist_ok=True)
            partial = directory / f".key.{os.getpid()}.{secrets.token_hex(4)}"
            partial.touch(mode=0o600)
            partial.write_text(secrets.token_hex(_KEY_BYTES))
            with contextlib.suppress(FileExistsError):  # another process was first
                os.link(partial, file)
            partial.unlink()
        key = bytes.fromhex(file.read_text())
    except (OSError, ValueError):
        return None
    return key if len(key) == _KEY_BYTES else None
