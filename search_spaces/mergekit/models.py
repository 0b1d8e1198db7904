"""mergekit's references to models: path, hub id, `model@revision`, `model+adapter`, or the same as a mapping."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from search_spaces.errors import SpaceError
from search_spaces.operators.registry import nearest_name
from search_spaces.recipes.recipe import TOKENIZER_SOURCES, OutputTokenizer, ParentSource


def mapping(value: object, key: str, known: tuple[str, ...]) -> Mapping[str, Any]:
    """Return a value that is a mapping with known keys only."""
    if not isinstance(value, Mapping):
        raise SpaceError(f"{key}: expected keys and values, found {value!r}")
    for name in value:
        if name not in known:
            raise SpaceError(
                f"{key}: expected keys among {sorted(known)}, found {name!r}{nearest_name(str(name), known)}"
            )
    return value


def sequence(value: object, key: str) -> list[object]:
    """Return a value that is a list of at least one."""
    if not isinstance(value, list) or not value:
        raise SpaceError(f"{key}: expected a list of at least one, found {value!r}")
    return value


class FoundParents:
    """Collects the parents that a file mentions, under unique names."""

    def __init__(self, directory: Path) -> None:
        """Begin with none; paths are looked up in the directory first."""
        self._directory = directory
        self.sources: dict[str, ParentSource] = {}

    def name(self, reference: object, key: str) -> str:
        """Return the name of a model, a new one at its first appearance."""
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


# mergekit knows some templates by name; this one is everybody's (OpenAI's ChatML).
_CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def read_tokenizer(top: Mapping[str, Any], parent_named: Callable[[object, str], str]) -> OutputTokenizer:
    """Return what a file's top level says on the tokenizer; `parent_named` maps (reference, key) to a parent."""
    source, multiple = top.get("tokenizer_source"), 1
    key = "tokenizer_source"
    if top.get("tokenizer") is not None:
        if source is not None:
            raise SpaceError("tokenizer_source, tokenizer: expected at most one of the two keys")
        data = mapping(top["tokenizer"], "tokenizer", ("source", "pad_to_multiple_of", "tokens"))
        if data.get("tokens"):
            raise SpaceError(
                "tokenizer.tokens: expected nothing: rows of single tokens cannot be chosen here; every token takes "
                "the base's row, else the mean of the models that have it"
            )
        key, source, multiple = "tokenizer.source", data.get("source", "union"), data.get("pad_to_multiple_of") or 1
    if source is not None and source not in TOKENIZER_SOURCES:
        source = parent_named(source.removeprefix("model:") if isinstance(source, str) else source, key)
    return OutputTokenizer(source, multiple, _chat_template(top.get("chat_template")))


def tokenizer_keys(tokenizer: OutputTokenizer, reference: Callable[[str], str]) -> dict[str, Any]:
    """Return mergekit's keys for a tokenizer, given parent -> how mergekit writes the model."""
    source = tokenizer.source
    if source is not None and source not in TOKENIZER_SOURCES:
        source = reference(source)
    keys: dict[str, Any] = {}
    if source is not None and tokenizer.multiple_of > 1:
        keys["tokenizer"] = {"source": source, "pad_to_multiple_of": tokenizer.multiple_of}
    elif source is not None:
        keys["tokenizer_source"] = source
    return keys | ({"chat_template": tokenizer.chat_template} if tokenizer.chat_template else {})


def _chat_template(value: object) -> str | None:
    if value is None or value == "auto":
        return value
    if value == "chatml":
        return _CHATML
    if not isinstance(value, str) or "{" not in value:
        raise SpaceError(f"chat_template: expected auto, chatml or the text of a Jinja template, found {value!r}")
    return value
