"""pymoo's random numbers, all from the campaign's seed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np


@contextlib.contextmanager
def drawing_from(rng: np.random.Generator) -> Iterator[None]:
    """Let pymoo's functions that are handed no generator draw from this one, inside.

    Tournaments between equals, SRES and PatternSearch among others forget to pass the algorithm's generator on, and
    pymoo then asks the operating system for a seed (`pymoo.util.default_random_state`): no search could be resumed.
    """
    import pymoo.util

    def default_rng(seed: int | None = None) -> np.random.Generator:
        return rng if seed is None else np.random.default_rng(seed)

    numpy = pymoo.util.np
    pymoo.util.np = SimpleNamespace(random=SimpleNamespace(default_rng=default_rng))
    try:
        yield
    finally:
        pymoo.util.np = numpy
