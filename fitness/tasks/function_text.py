"""What a function of a Python file says, with all of its file that it uses: another text may score otherwise."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from evomerge.content import content_of

_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def function_text(file: Path, function: str) -> str:
    """Return the statements of a file that define a function and what it names, without comments on their own lines.

    What other files hold, that it imports, is not among them. Empty where the file cannot be read as Python.
    """
    try:
        source = content_of(file).decode()
        statements = ast.parse(source).body
    except (OSError, ValueError, SyntaxError, RecursionError, MemoryError):
        return ""
    wanted, todo = set[int](), [function]
    seen = {function}
    while todo:
        name = todo.pop()
        for i, statement in enumerate(statements):
            if i not in wanted and name in _bound(statement):
                wanted.add(i)
                new = set(_named(statement)) - seen
                seen |= new
                todo += new
    lines = source.splitlines()
    return "\n".join(line for i in sorted(wanted) for line in _lines(statements[i], lines))


def _bound(statement: ast.stmt) -> Iterator[str]:
    """Yield the names that a statement of a module binds, or gives attributes and items to."""
    if isinstance(statement, _SCOPES):
        yield statement.name
        return
    for node in ast.walk(statement):
        if isinstance(node, _SCOPES):
            yield node.name
        elif isinstance(node, ast.alias):
            yield (node.asname or node.name).split(".")[0]
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Attribute | ast.Subscript) and isinstance(node.ctx, ast.Store):
            target: ast.expr = node
            while isinstance(target, ast.Attribute | ast.Subscript):
                target = target.value
            if isinstance(target, ast.Name):
                yield target.id


def _named(statement: ast.stmt) -> Iterator[str]:
    for node in ast.walk(statement):
        if isinstance(node, ast.Name):
            yield node.id


def _lines(statement: ast.stmt, lines: list[str]) -> Iterator[str]:
    decorators = statement.decorator_list if isinstance(statement, _SCOPES) else []
    first = min([statement.lineno, *(decorator.lineno for decorator in decorators)])
    for line in lines[first - 1 : statement.end_lineno]:
        if line.strip() and not line.lstrip().startswith("#"):
            yield line.rstrip()
