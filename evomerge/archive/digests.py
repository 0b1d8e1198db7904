"""Digests of rows and events: what finds a flipped bit, and a row of another archive."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from hashlib import blake2b

_BYTES = 16  # of a digest
_float, _head = struct.Struct("<cd").pack, struct.Struct("<cI").pack


class Seal:
    """Digests of one archive's rows: those of another one's are others.

    Args:
        run_id: of the archive.
    """

    def __init__(self, run_id: str) -> None:
        self._key = run_id.encode("utf-8", "replace")[:64]

    def of(self, values: Sequence[object]) -> bytes:
        """Return the digest of values as SQLite has them: None, int, float, str or bytes."""
        return blake2b(_encoded(values), digest_size=_BYTES, key=self._key).digest()


def _encoded(values: Sequence[object]) -> bytes:
    """Return bytes that no other sequence of values has; in one loop: a resume looks at millions of values."""
    parts: list[bytes] = []
    for value in values:
        if value is None:
            parts.append(b"n")
        elif isinstance(value, float):
            parts.append(_float(b"f", value))
        else:
            kind, body = b"b", value
            if isinstance(value, int):
                kind, body = b"i", b"%d" % value
            elif isinstance(value, str):
                kind, body = b"s", value.encode("utf-8", "surrogatepass")
            assert isinstance(body, bytes), f"no value of SQLite's: {type(value).__name__}"
            parts += (_head(kind, len(body)), body)
    return b"".join(parts)
