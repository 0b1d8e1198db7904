"""Who imports whom, read from the source: modules, and the circles among files and rooms."""

from __future__ import annotations

import ast
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

Graph = Mapping[str, frozenset[str]]


@dataclass(frozen=True)
class Sources:
    """The modules of some packages, parsed.

    Attributes:
        files: module -> its file.
        trees: module -> its syntax tree.
    """

    files: Mapping[str, Path]
    trees: Mapping[str, ast.Module]

    @classmethod
    def read(cls, root: Path, packages: tuple[str, ...]) -> Sources:
        """Parse every module of the packages in a directory; nothing is imported."""
        files = {}
        for package in packages:
            for file in sorted((root / package).rglob("*.py")):
                name = ".".join(file.relative_to(root).with_suffix("").parts)
                files[name.removesuffix(".__init__")] = file
        return cls(files, {name: ast.parse(file.read_text(encoding="utf-8")) for name, file in files.items()})

    def is_face(self, module: str) -> bool:
        """Return whether a module is a package's `__init__`."""
        return self.files[module].name == "__init__.py"

    def imports(self) -> Graph:
        """Return module -> the modules that it imports, wherever in the file, for type checking as well.

        A module's own package is left out: Python imports it before the module, whatever stands there.
        """
        return {
            name: frozenset(self._imported(tree) - {name, name.partition(".")[0]}) for name, tree in self.trees.items()
        }

    def rooms(self, imports: Graph) -> Graph:
        """Return room -> the rooms that its modules import.

        A room is a folder with all that lies in it, one below its package; a module directly in the package's folder
        is a room of its own.
        """
        found: dict[str, set[str]] = {}
        for module, others in imports.items():
            room = self.room(module)
            found.setdefault(room, set()).update(map(self.room, others))
        return {room: frozenset(others - {room}) for room, others in found.items()}

    def room(self, module: str) -> str:
        """Return the room that a module lies in."""
        return ".".join(module.split(".")[:2])

    def public_names(self, face: str) -> tuple[str, ...]:
        """Return what a face shows: its `__all__`, else what it defines and imports of these packages.

        Imports for type checking count: a face that imports its names when they are first used lists them there.
        """
        body = self.trees[face].body
        for node in body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
                with contextlib.suppress(ValueError):  # it is computed
                    return tuple(ast.literal_eval(node.value))
        names = [node.name for node in body if isinstance(node, ast.ClassDef | ast.FunctionDef)]
        for node in [*body, *(inner for part in body if isinstance(part, ast.If) for inner in part.body)]:
            if isinstance(node, ast.ImportFrom) and self._imported(node):
                names += [alias.asname or alias.name for alias in node.names]
        return tuple(name for name in names if not name.startswith("_"))

    def _imported(self, tree: ast.AST) -> set[str]:
        found = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                named = (f"{node.module}.{alias.name}" for alias in node.names)
                found |= {name if name in self.files else node.module for name in named}
            elif isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
        return found & self.files.keys()


def circles(graph: Graph) -> list[list[str]]:
    """Return the groups of nodes that can all reach each other, of two nodes or more, sorted."""
    reached = {node: reachable(graph, [node]) for node in graph}
    found = {frozenset(other for other in reached[node] if node in reached.get(other, ())) for node in graph}
    return sorted(sorted(group) for group in found if len(group) > 1)


def reachable(graph: Graph, starts: list[str]) -> frozenset[str]:
    """Return every node that can be reached from some nodes along one arrow or more."""
    found: set[str] = set()
    waiting = [other for start in starts for other in graph.get(start, ())]
    while waiting:
        node = waiting.pop()
        if node not in found:
            found.add(node)
            waiting += graph.get(node, ())
    return frozenset(found)
