"""mergekit's references to models: path, hub id, `model@revision`, `model+adapter`, or the same as a mapping."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from search_spaces.errors import SpaceError
from search_spaces.mergekit.keys import mapping
from search_spaces.recipe import ParentSource


class FoundParents:
    """Collects the parents that a file mentions, under unique names."""

    def __init__(self, directory: Path) -> None:
        """Begin with none; paths are looked up in the directory first."""
        self._directory = directory
        self.sources: dict[str, ParentSource] = {}

    def name(self, reference: object, key: str) -> str:
        """Return the name of a model, a new one at its first appearance.

        Raises:
            SpaceError: the reference has none of the forms; the message names the key.
        """
        source = self._source(reference, key)
        for name, known in self.sources.items():
            if known == source:
                return name
        stem = name = Path(source.adapter or source.model).name or source.model
        number = 2
        while name in self.sources:
            name, number = f"{stem}-{number}", number + 1
        self.sources[name] = source
        return name

    def _source(self, reference: object, key: str) -> ParentSource:
        if isinstance(reference, Mapping):
            parts = mapping(reference, key, ("model", "lora"))
            model, adapter = parts.get("model"), parts.get("lora")
        elif isinstance(reference, str) and not self._is_there(reference) and "+" in reference:
            model, adapter = reference.split("+", 1)
        else:
            model, adapter = reference, None
        path, revision = self._place(model, key)
        if adapter is None:
            return ParentSource(path, revision)
        return ParentSource(path, revision, *self._place(adapter, key))

    def _place(self, reference: object, key: str) -> tuple[str, str | None]:
        """Return (directory or hub id, revision)."""
        if isinstance(reference, Mapping):
            parts = mapping(reference, key, ("path", "revision"))
            path, revision = self._place(parts.get("path"), key)
            return path, parts.get("revision") or revision
        if not isinstance(reference, str) or not reference:
            raise SpaceError(f"{key}: expected a path or hub id, found {reference!r}")
        for place in (self._directory, Path()):
            if (place / Path(reference).expanduser()).exists():
                return str(place / Path(reference).expanduser()), None
        model, _, revision = reference.partition("@")
        if revision and self._is_there(model):
            return self._place(model, key)[0], revision
        return model, revision or None

    def _is_there(self, reference: str) -> bool:
        return any((place / Path(reference).expanduser()).exists() for place in (self._directory, Path()))
