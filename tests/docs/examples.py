"""Examples in prose: fenced blocks of Markdown pages, and examples in docstrings."""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = tuple(sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]))
PACKAGES = ("evomerge", "fitness", "search_spaces")
RUN = ("python", "console", "yaml")  # what is run or checked; blocks of other languages are prose

_FENCE = re.compile(
    r"^(?:<!-- not run: (?P<reason>[^\n]+?) -->\n)?"
    r"^```(?P<language>\w+)(?: title=\"(?P<file>[^\"]+)\")?\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        where: file and line.
        language: of the fence.
        text: between the fences.
        file: the file that it is, by its title; empty: it is run or checked itself.
        reason: why it is not run; empty: it is.
    """

    where: str
    language: str
    text: str
    file: str
    reason: str


def blocks(page: Path) -> list[Block]:
    """Return a page's blocks that are to be run, in order."""
    text = page.read_text(encoding="utf-8")
    found = []
    for match in _FENCE.finditer(text):
        line = text.count("\n", 0, match.start("language")) + 1
        where = f"{page.relative_to(ROOT)}:{line}"
        named = {key: value or "" for key, value in match.groupdict().items()}
        found.append(Block(where, named["language"], named["text"], named["file"], named["reason"]))
    return [block for block in found if block.language in RUN]


# An indented block of Python in a docstring.
_LITERAL = re.compile(r"^ {4}(?:import|from) evomerge.*\n(?:(?: {4}.*)?\n)*", re.MULTILINE)


@dataclass(frozen=True)
class Docstring:
    """A docstring of something public.

    Attributes:
        name: dotted.
        module: whose names it may use, as doctest has it.
        file: where it stands.
        line: of its definition.
        text: dedented.
    """

    name: str
    module: str
    file: Path
    line: int
    text: str

    @property
    def literal(self) -> str:
        """The Python that stands indented in it, as code."""
        return "".join(textwrap.dedent(block) for block in _LITERAL.findall(f"{self.text}\n"))


def docstrings_with_examples() -> Iterator[Docstring]:
    """Yield the public docstrings that have an example, as a doctest or indented; nothing is imported."""
    for package in PACKAGES:
        for file in sorted((ROOT / package).rglob("*.py")):
            module = ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            for name, node in _public(ast.parse(file.read_text(encoding="utf-8")), module):
                text = ast.get_docstring(node) or ""
                if ">>>" in text or _LITERAL.search(text):
                    yield Docstring(name, module, file, getattr(node, "lineno", 1), text)


def _public(
    node: ast.Module | ast.ClassDef | ast.FunctionDef, name: str
) -> Iterator[tuple[str, ast.Module | ast.ClassDef | ast.FunctionDef]]:
    yield name, node
    if not isinstance(node, ast.FunctionDef):
        for child in node.body:
            if isinstance(child, ast.ClassDef | ast.FunctionDef) and (
                not child.name.startswith("_") or child.name in ("__init__", "__call__")
            ):
                yield from _public(child, f"{name}.{child.name}")
