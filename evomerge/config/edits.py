"""Single values set in the text of a campaign file: comments and everything else stay as they were written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import yaml

from evomerge.config.errors import ConfigError, ConfigProblem
from evomerge.config.yaml_document import parse_yaml, write_flow


def edited(text: str, key: str, value: object) -> str:
    r"""Return the text of a YAML mapping with one key set, on one line; sections on the way that are missing are made.

    >>> edited("budget:\n  evaluations: 200  # in all\nseed: 0\n", "budget.evaluations", 50)
    'budget:\n  evaluations: 50  # in all\nseed: 0\n'
    >>> edited("seed: 0\n", "budget.evaluations", 50)
    'budget: {evaluations: 50}\nseed: 0\n'

    Args:
        text: a campaign file's.
        key: dotted, as in `space.operator`.
        value: plain data.

    Raises:
        ConfigError: the text is no YAML mapping, or the key leads through something other than a section.
    """
    root = parse_yaml(text).root
    if root is None:
        return f"{write_flow(_nested(key.split('.'), value))}\n{text}"
    node, parts = root, key.split(".")
    while isinstance(node, yaml.MappingNode):
        below = next((v for k, v in node.value if k.value == parts[0]), None)
        if below is None:
            return _inserted(text, node, parts, value)
        node, parts = below, parts[1:]
        if not parts or _is_empty(node):
            return _replaced(text, node, _nested(parts, value))
    raise ConfigError(None, [ConfigProblem(key, node.start_mark.line + 1, "a section on the way", "another value")])


def values_of(text: str, keys: Sequence[str], path: Path | None = None) -> dict[str, object]:
    """Return what dotted keys of a YAML text have, None where it has none.

    >>> values_of("space: {operator: ties}", ["space.operator", "seed"])
    {'space.operator': 'ties', 'seed': None}
    """
    data, found = parse_yaml(text, path).data, {}
    for key in keys:
        value = data
        for part in key.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        found[key] = value
    return found


def _nested(parts: Sequence[str], value: object) -> object:
    for part in reversed(parts):
        value = {part: value}
    return value


def _is_empty(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null"


def _replaced(text: str, node: yaml.Node, value: object) -> str:
    begin, end = node.start_mark.index, _end(node)
    space = " " if begin == end and text[begin - 1 : begin] == ":" else ""  # `key:` alone
    return f"{text[:begin]}{space}{write_flow(value)}{text[end:]}"


def _inserted(text: str, node: yaml.MappingNode, parts: Sequence[str], value: object) -> str:
    """Return the text with an entry before the first one of a mapping, which may be in flow style."""
    told = f"{parts[0]}: {write_flow(_nested(parts[1:], value))}"
    at = node.start_mark.index
    if node.flow_style:
        return f"{text[: at + 1]}{told}{', ' if node.value else ''}{text[at + 1 :]}"
    return f"{text[:at]}{told}\n{' ' * node.start_mark.column}{text[at:]}"


def _end(node: yaml.Node) -> int:
    """Return where a node ends; PyYAML's mark of a block stands behind the comments that follow it."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _end(last[1] if isinstance(last, tuple) else last)
    return int(node.end_mark.index)
