"""mergekit's references to models: path, hub id, `model@revision`, `model+adapter`, or the same as a mapping."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path, PureWindowsPath
from typing import Any

from search_spaces.errors import SpaceError
from search_spaces.mergekit.remarks import IGNORED, Remarks, only_known
from search_spaces.recipes.recipe import ParentSource


class FoundParents:
    """Collects the parents that a file mentions, under unique names."""

    def __init__(self, directory: Path, remarks: Remarks, made: Mapping[str, Path]) -> None:
        """Begin with none; references are names of merges `made` before, paths in the directory, others, or hub ids."""
        self._directory = directory
        self._remarks = remarks
        self._made = made
        self.sources: dict[str, ParentSource] = {}

    def name(self, reference: object, key: str, *, revision: object = None) -> str:
        """Return the name of a model, a new one at its first appearance; `revision` is what stands beside it."""
        source = self._source(reference, key)
        if revision is not None:
            source = self._at_revision(source, str(revision), key)
        for name, known in self.sources.items():
            if known == source:
                return name
        stem = name = Path(source.adapter or source.model).name or source.model
        number = 2
        while name in self.sources:
            name, number = f"{stem}-{number}", number + 1
        self.sources[name] = source
        return name

    def _at_revision(self, source: ParentSource, revision: str, key: str) -> ParentSource:
        """Return the model at the revision beside it, which is what was meant; mergekit ignores the key."""
        place = key.removesuffix(".model")
        if Path(source.model).is_dir():
            self._remarks.add("revision", f"a directory has none (model@revision is for the hub); {IGNORED}", place)
            return source
        if source.revision not in (None, revision):
            raise SpaceError(f"{place}: expected one revision, found {source.revision!r} and {revision!r}")
        written = f"{source.model}@{revision}"
        why = f"taken, as {written} (mergekit ignores it here and takes the default branch); write model: {written}"
        self._remarks.add("revision", why, place)
        return replace(source, revision=revision)

    def _source(self, reference: object, key: str) -> ParentSource:
        if isinstance(reference, Mapping):
            parts = only_known(reference, key, ("model", "lora", "override_architecture"))
            if parts.get("override_architecture"):
                self._remarks.add("override_architecture", "ignored: the model's own config says what it is", key)
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
            parts = only_known(reference, key, ("path", "revision"))
            path, revision = self._place(parts.get("path"), key)
            return path, parts.get("revision") or revision
        if not isinstance(reference, str) or not reference:
            raise SpaceError(f"{key}: expected a path or hub id, found {reference!r}")
        if reference in self._made:
            return str(self._made[reference]), None
        if is_path(reference) and not self._is_there(reference) and last_part(reference) in self._made:
            return str(self._made[last_part(reference)]), None  # as mergekit-multi writes it into its cards
        for place in (self._directory, Path()):
            if (place / Path(reference).expanduser()).exists():
                return str(place / Path(reference).expanduser()), None
        model, _, revision = reference.partition("@")
        if revision and (self._is_there(model) or model in self._made):
            return self._place(model, key)[0], revision
        return model, revision or None

    def _is_there(self, reference: str) -> bool:
        return any((place / Path(reference).expanduser()).exists() for place in (self._directory, Path()))


def is_path(reference: str) -> bool:
    """Return whether text can only be a path, not a hub id."""
    return reference.startswith((".", "/", "~")) or "\\" in reference or reference.count("/") > 1


def last_part(reference: str) -> str:
    """Return the last part of a path of this or the other operating system."""
    return PureWindowsPath(reference).name


# What holds no model's name, or a word that is also one of ours.
_NO_MODELS = frozenset({"parameters", "merge_method", "dtype", "out_dtype", "chat_template", "layer_range", "revision"})


def references(data: Any) -> list[str]:
    """Return every text of a document that may name a model, each once, without revision and adapter."""
    if isinstance(data, Mapping):
        found = [name for key, value in data.items() if key not in _NO_MODELS for name in references(value)]
    elif isinstance(data, list):
        found = [name for value in data for name in references(value)]
    elif isinstance(data, str):
        parts = [part.partition("@")[0] for part in data.removeprefix("model:").split("+")]
        found = [data, *parts, *(last_part(part) for part in parts if is_path(part))]
    else:
        found = []
    return list(dict.fromkeys(found))
