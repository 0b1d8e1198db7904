"""YAML with line numbers, read and written by the rules of YAML 1.2.

PyYAML follows YAML 1.1, where `1e-3` is text, `1:30` is the number 90 and `no` is false; the core schema of YAML 1.2
(https://yaml.org/spec/1.2.2/#103-core-schema) has no such surprises. Octal and hexadecimal numbers are left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from evomerge.config.errors import ConfigError, ConfigProblem
from evomerge.content import content_of
from search_spaces.mergekit.bounded_yaml import BoundedLoader

_MOST_BYTES = 2**24
_CORE_SCHEMA = (
    ("null", r"~|null|Null|NULL|", [*"~nN", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", [*"tTfF"]),
    ("int", r"[-+]?(0|[1-9][0-9]*)", [*"-+0123456789"]),
    (
        "float",
        r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        [*"-+.0123456789"],
    ),
    ("merge", r"<<", ["<"]),
)


class _Loader(BoundedLoader):
    yaml_implicit_resolvers = {}  # noqa: RUF012  (PyYAML's own registry, filled below)


class _Dumper(yaml.SafeDumper):
    yaml_implicit_resolvers = {}  # noqa: RUF012

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002
        return True


for _tag, _pattern, _first in _CORE_SCHEMA:
    for _class in (_Loader, _Dumper):
        _class.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), _first)


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    # PyYAML folds U+0085, U+2028 and the like into line breaks unless double quotes make it escape them.
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if text.isprintable() else '"')


_Dumper.add_representer(str, _represent_text)
_Dumper.add_representer(tuple, _Dumper.represent_list)


@dataclass(frozen=True, eq=False)
class Document:
    """The data of a campaign, and where their parts stand in a file.

    Attributes:
        data: plain dicts, lists and scalars.
        duplicates: a problem for each key that stands twice in one mapping.
        root: the file's own nodes; None: the data are from no file.
    """

    data: object
    duplicates: tuple[ConfigProblem, ...] = ()
    root: yaml.Node | None = None

    def locate(self, loc: Sequence[str | int]) -> tuple[str, int | None]:
        """Return the key as people write it (`parents[0].model`) and its line, from 1; None in no file.

        A part that the file does not have gets the line of the nearest enclosing part that it has.
        """
        return (_key(self.data, loc), None) if self.root is None else _locate(self.root, loc)


def read_yaml(path: Path) -> Document:
    """Read the one YAML document of a file."""
    return parse_yaml(_read_text(path), path)


def parse_yaml(text: str, path: Path | None = None) -> Document:
    """Read the one YAML document of a text."""
    unprintable = yaml.reader.Reader.NON_PRINTABLE.search(text)
    if unprintable:
        line = text.count("\n", 0, unprintable.start()) + 1
        raise ConfigError(path, [ConfigProblem("", line, "printable text", repr(unprintable.group()))])
    loader = _Loader(text)
    try:
        root = loader.get_single_node()
        duplicates = tuple(_duplicates(root))
        data = loader.construct_document(root) if root else None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        found = ", ".join(part for part in (error.context, error.problem) if part)
        raise ConfigError(path, [ConfigProblem("", mark.line + 1 if mark else None, "valid YAML", found)]) from error
    finally:
        loader.dispose()
    return Document(data, duplicates, root)


def write_yaml(data: object) -> str:
    """Return a text that `read_yaml` reads back as equal data; keys stay in their order, short lists on one line."""
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110, default_flow_style=None)


def write_flow(data: object) -> str:
    """Return data on one line, to stand in a larger text."""
    text = yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10**6, default_flow_style=True)
    return text.removesuffix("\n").removesuffix("\n...")


def _read_text(path: Path) -> str:
    try:
        text = content_of(path, _MOST_BYTES).decode("utf-8-sig")
    except OSError as error:
        problem = ConfigProblem("", None, "a readable campaign file", f"'{error.strerror}'")
        raise ConfigError(path, [problem]) from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        found = f"the byte {error.object[error.start]:#04x}"
        raise ConfigError(path, [ConfigProblem("", line, "UTF-8 text", found)]) from error
    return text


def _duplicates(root: yaml.Node | None) -> Iterator[ConfigProblem]:
    seen: set[int] = set()
    todo: list[tuple[tuple[str | int, ...], yaml.Node]] = [((), root)] if root else []
    while todo:
        loc, node = todo.pop()
        if id(node) in seen:  # an alias; it may even contain itself
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            todo += [((*loc, i), item) for i, item in enumerate(node.value)]
        elif isinstance(node, yaml.MappingNode):
            first: dict[str, int] = {}
            for key, value in node.value:
                name, line = str(key.value), key.start_mark.line + 1
                if name in first:
                    dotted, _ = _locate(root, (*loc, name))
                    yield ConfigProblem(dotted, line, "each key once", f"it again (first on line {first[name]})")
                first.setdefault(name, line)
                todo.append(((*loc, name), value))


def _locate(root: yaml.Node | None, loc: Sequence[str | int]) -> tuple[str, int]:
    node, key, line = root, "", root.start_mark.line + 1 if root else 1
    for part in loc:
        if isinstance(node, yaml.ScalarNode) or part == "[key]":  # "[key]" is pydantic's mark of a mapping's key
            break
        if isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            key, node = f"{key}[{part}]", node.value[part]
            line = node.start_mark.line + 1
            continue
        key = f"{key}.{part}" if key else str(part)
        # The last pair wins: `<<` puts what it merges in front of a mapping's own keys.
        pairs = [p for p in node.value if p[0].value == str(part)] if isinstance(node, yaml.MappingNode) else []
        node = pairs[-1][1] if pairs else None
        line = pairs[-1][0].start_mark.line + 1 if pairs else line
    return key, line


def _key(data: object, loc: Sequence[str | int]) -> str:
    key = ""
    for part in loc:
        if part == "[key]" or isinstance(data, str | int | float):
            break
        if isinstance(data, list) and isinstance(part, int):
            key, data = f"{key}[{part}]", data[part]
        else:
            key = f"{key}.{part}" if key else str(part)
            data = data.get(part) if isinstance(data, Mapping) else None
    return key
