"""What `import evomerge` offers."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import evomerge as em


def test_every_name_of_the_face_is_there_documented_and_known_to_type_checkers() -> None:
    source = ast.parse(Path(em.__file__).read_text())
    checked = next(node for node in source.body if isinstance(node, ast.If))
    typed = {name.asname for node in checked.body if isinstance(node, ast.ImportFrom) for name in node.names}
    assert typed == set(em.__all__)
    for name in em.__all__:
        assert getattr(em, name).__doc__
    assert set(dir(em)) == {*em.__all__, "__version__"}


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    assert not hasattr(em, "serach")


def test_importing_it_loads_nothing_but_itself() -> None:
    code = "import sys, evomerge; print(sorted(m for m in sys.modules if m.startswith(('evomerge', 'numpy', 'torch'))))"
    loaded = subprocess.check_output([sys.executable, "-c", code], text=True).strip()
    assert loaded == "['evomerge', 'evomerge.version']"


def test_nothing_in_the_api_prints() -> None:
    for file in (Path(em.__file__).parent / "api").glob("*.py"):
        nodes = list(ast.walk(ast.parse(file.read_text())))
        names = {node.id for node in nodes if isinstance(node, ast.Name)}
        modules = {str(node.module).split(".")[0] for node in nodes if isinstance(node, ast.ImportFrom)}
        assert "print" not in names
        assert not modules & {"rich", "typer"}
