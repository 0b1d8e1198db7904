"""The script that measures the house, on a package made for it and on ours."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments.house.__main__ import PACKAGES, measures
from experiments.house.imports import Sources, circles, reachable
from experiments.house.lines import n_code_lines

FILES = {
    "pkg/__init__.py": "from pkg.a.one import One\n__all__ = ['One']\n",
    "pkg/a/__init__.py": '"""Nothing."""\n',
    "pkg/a/one.py": "from pkg.b import two\n\n\nclass One:\n    pass\n",
    "pkg/b/__init__.py": "",
    "pkg/b/two.py": "def late():\n    from pkg.a.three import X\n    return X\n",
    "pkg/a/three.py": "X = 1\n",
    "pkg/lonely.py": "import pkg.b.two\n",
}


@pytest.fixture
def sources(tmp_path: Path) -> Sources:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return Sources.read(tmp_path, ("pkg",))


def test_imports_inside_functions_count(sources: Sources) -> None:
    assert sources.imports()["pkg.b.two"] == {"pkg.a.three"}
    assert sources.imports()["pkg.a.one"] == {"pkg.b.two"}


def test_rooms_are_in_a_circle_where_no_files_are(sources: Sources) -> None:
    imports = sources.imports()
    assert circles(imports) == []
    assert circles(sources.rooms(imports)) == [["pkg.a", "pkg.b"]]


def test_a_module_beside_the_rooms_is_a_room(sources: Sources) -> None:
    assert sources.rooms(sources.imports())["pkg.lonely"] == {"pkg.b"}


def test_what_no_face_leads_to_is_not_reachable(sources: Sources) -> None:
    assert reachable(sources.imports(), ["pkg"]) == {"pkg.a.one", "pkg.b.two", "pkg.a.three"}
    assert measures(sources)["names per face"] == {"pkg": 1}


def test_a_circle_is_named_once_with_all_who_are_in_it() -> None:
    graph = {"a": frozenset("b"), "b": frozenset("c"), "c": frozenset("a"), "d": frozenset("a")}
    assert circles(graph) == [["a", "b", "c"]]


def test_docstrings_comments_and_blank_lines_are_no_code() -> None:
    prose = '"""One.\n\nTwo."""\n\n# three\n'
    code = 'X = """\na\n"""  # four\n\n\ndef f():\n    """Five."""\n    return (\n        X\n    )\n'
    assert n_code_lines(prose + code) == 3 + 1 + 3


def test_our_own_source_can_be_measured() -> None:
    found = measures(Sources.read(Path(__file__).parents[2], PACKAGES))
    assert 0 < found["code lines"] < found["lines"]
