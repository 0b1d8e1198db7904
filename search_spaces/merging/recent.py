"""A memory of what was used most recently."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

V = TypeVar("V")


class Recent(Generic[V]):
    """Values by key, computed when they are first asked for, or again after they had to go."""

    def __init__(self, limit: float, size_of: Callable[[V], int] = lambda _: 1) -> None:
        """Keep values whose sizes sum to at most `limit`; a larger one is returned but not kept."""
        self._limit, self._size_of, self._size = limit, size_of, 0
        self._values: dict[Hashable, V] = {}

    def get(self, key: Hashable, compute: Callable[[], V]) -> V:
        """Return `compute()`, or what it returned before for the same key."""
        if key in self._values:
            value = self._values[key] = self._values.pop(key)  # to the end: used most recently
            return value
        value = compute()
        size = self._size_of(value)
        if size <= self._limit:
            self._values[key] = value
            self._size += size
            while self._size > self._limit:
                self._size -= self._size_of(self._values.pop(next(iter(self._values))))
        return value


class FirstKept(Generic[V]):
    """Values by key, of which those that came first stay: where all are asked for in turn, some are always found."""

    def __init__(self, limit: float, size_of: Callable[[V], int] = lambda _: 1) -> None:
        """Keep values as long as their sizes sum to at most `limit`; others are computed each time."""
        self._room, self._size_of = limit, size_of
        self._values: dict[Hashable, V] = {}

    def get(self, key: Hashable, compute: Callable[[], V]) -> V:
        """Return `compute()`, or what it returned before for the same key."""
        if key in self._values:
            return self._values[key]
        value = compute()
        size = self._size_of(value)
        if size <= self._room:
            self._values[key] = value
            self._room -= size
        return value
