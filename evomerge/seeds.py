"""Named random streams from one root seed, so that results depend neither on workers nor on completion order."""

from __future__ import annotations

import hashlib

import numpy as np


def stream(root: int, *names: str) -> np.random.Generator:
    """Return the generator named by `names` under a root seed.

    The same root and names give the same numbers in every process and on every platform; any two different name
    paths give independent streams, `("a", "b")` and `("ab",)` included.

    Raises:
        ValueError: the root is negative.
    """
    # PCG64 by name: numpy may change what default_rng picks, and a resumed campaign must not notice.
    return np.random.Generator(np.random.PCG64(_sequence(root, names)))


def stream_seed(root: int, *names: str) -> int:
    """Return the seed named by `names` under a root seed, in [0, 2^63), for libraries that want a number."""
    (word,) = _sequence(root, names).generate_state(1, np.uint64)
    return int(word >> np.uint64(1))


def _sequence(root: int, names: tuple[str, ...]) -> np.random.SeedSequence:
    if root < 0:
        raise ValueError(f"seed: expected a whole number of at least 0, found {root}")
    # 128 bits of each name as four words: a fixed length, so that neighbouring names cannot run into each other.
    key = [word for name in names for word in np.frombuffer(hashlib.sha256(name.encode()).digest()[:16], dtype="<u4")]
    return np.random.SeedSequence(root, spawn_key=tuple(int(word) for word in key))
