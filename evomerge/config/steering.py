"""Texts of a campaign that no file, table or terminal should have to show: control characters and their like."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from evomerge.config.errors import ConfigProblem
from evomerge.config.yaml_document import Document
from evomerge.visible import STEERING, visible

_PROSE = {"prompts", "questions"}  # what is said to models may have lines, and any character
_HINT = "leave out control characters, line breaks and marks of direction"


def steering_problems(document: Document) -> list[ConfigProblem]:
    """Return a problem for each name, path or other text that has such characters; what models are told may."""
    return [
        ConfigProblem(*document.locate(way), "text that stands on one line as it is", _quoted(text), _HINT)
        for way, text in _texts(document.data, (), set())
        if not _PROSE.intersection(way[:3]) and (STEERING.search(text) or "\n" in text or "\t" in text)
    ]


def _quoted(text: str) -> str:
    return "'" + visible(text).replace("\n", "\\n").replace("\t", "\\t") + "'"


def _texts(data: object, way: tuple[str | int, ...], seen: set[int]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    if isinstance(data, str):
        yield way, data
        return
    if not isinstance(data, Mapping | list | tuple) or id(data) in seen:  # an alias; it may contain itself
        return
    seen.add(id(data))
    for key, value in data.items() if isinstance(data, Mapping) else enumerate(data):
        if isinstance(key, str):
            yield (*way, key), key
        yield from _texts(value, (*way, key), seen)
