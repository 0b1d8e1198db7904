"""YAML that strangers write: what PyYAML fails at, or works at without end, becomes an error with its line."""

from __future__ import annotations

from typing import Any

import yaml

MAX_DEPTH = 64  # mappings and lists inside each other
MAX_DIGITS = 400  # of a number: more than a float's range
MAX_VALUES = 100_000  # of a document, aliases written out
_SHOWN = 60  # characters of a value that a message quotes


class BoundedLoader(yaml.SafeLoader):
    """PyYAML's safe loader; every failure is a `yaml.MarkedYAMLError`."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Compose what stands inside a node, unless it is nested too deeply for the calls that this takes."""
        self.depth += 1
        if parent is not None and self.depth > MAX_DEPTH:
            raise _refused(parent, f"lists and mappings nested more than {MAX_DEPTH} deep")
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def compose_document(self) -> yaml.Node | None:
        """Compose a document, unless aliases make it too large."""
        self.depth = 0
        root = super().compose_document()
        if root is not None:
            _size(root, {}, set())
        return root

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """Construct a value, unless it is not of its tag: `!!int foo`."""
        if isinstance(node, yaml.ScalarNode) and node.tag.endswith((":int", ":float")) and len(node.value) > MAX_DIGITS:
            raise _refused(node, f"a number of {len(node.value)} digits, more than {MAX_DIGITS}")
        try:
            return super().construct_object(node, deep)
        except (ValueError, KeyError, AttributeError, TypeError, OverflowError) as error:
            tag = node.tag.replace("tag:yaml.org,2002:", "!!")
            value = repr(node.value)[:_SHOWN] if isinstance(node, yaml.ScalarNode) else "a collection"
            raise _refused(node, f"{value}, which is no {tag}") from error


def _size(node: yaml.Node, sizes: dict[int, int], entered: set[int]) -> int:
    """Return how many values a node stands for, aliases written out."""
    if id(node) in entered:
        raise _refused(node, "an alias inside what it stands for")
    if id(node) not in sizes:
        entered.add(id(node))
        parts = node.value if isinstance(node, yaml.CollectionNode) else ()
        inside = [part for pair in parts for part in (pair if isinstance(pair, tuple) else (pair,))]
        sizes[id(node)] = 1 + sum(_size(part, sizes, entered) for part in inside)
        entered.discard(id(node))
        if sizes[id(node)] > MAX_VALUES:
            raise _refused(node, f"more than {MAX_VALUES:,} values, aliases written out")
    return sizes[id(node)]


def _refused(node: yaml.Node, found: str) -> yaml.MarkedYAMLError:
    return yaml.constructor.ConstructorError(None, None, found, node.start_mark)
