"""YAML text as plain data, in which no key stands twice with two values."""

from __future__ import annotations

from collections.abc import Iterator

import yaml

from search_spaces.errors import SpaceError
from search_spaces.mergekit.bounded_yaml import BoundedLoader


def load_documents(text: str) -> list[object]:
    """Return the plain data of every document.

    Raises:
        SpaceError: a key stands twice in one mapping: YAML takes the last, and who wrote the first never hears of it.
    """
    loader = BoundedLoader(text)
    documents = []
    try:
        while loader.check_node():
            root = loader.get_node()
            for key, first, again in () if root is None else _repeated(root):
                lines = f"lines {first.start_mark.line + 1} and {again.start_mark.line + 1}"
                raise SpaceError(
                    f"{key.value}: expected once, found on {lines} with two values; remove one: mergekit takes the last"
                )
            documents.append(loader.construct_document(root))
    finally:
        loader.dispose()
    return documents


def _repeated(root: yaml.Node) -> Iterator[tuple[yaml.Node, yaml.Node, yaml.Node]]:
    """Yield the key and both values of what stands twice in a mapping, with two values."""
    waiting, known = [root], set[int]()
    while waiting:
        node = waiting.pop()
        if id(node) in known:
            continue
        known.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            waiting += node.value
        elif isinstance(node, yaml.MappingNode):
            values: dict[str, yaml.Node] = {}
            for key, value in node.value:
                waiting.append(value)
                first = values.setdefault(str(key.value), value)
                if first is not value and (not isinstance(first, yaml.ScalarNode) or first.value != value.value):
                    yield key, first, value
