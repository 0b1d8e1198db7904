"""A recipe in a file is read in one way, or refused with the file's name."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from search_spaces.errors import SpaceError
from search_spaces.recipes.recipe import Recipe
from search_spaces.recipes.recipe_file import recipe_in

PLAIN = {
    "parents": {"a": {"model": "m/a"}, "b": {"model": "m/b"}},
    "base": "a",
    "dtype": "float32",
    "rules": [{"operator": "linear", "inputs": [{"parent": "a", "weight": 1.0}, {"parent": "b", "weight": 1.0}]}],
}
TEXT = json.dumps(PLAIN)


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_it_is_what_its_text_says_with_or_without_a_byte_order_mark(tmp_path: Path, mark: bytes) -> None:
    (tmp_path / "r.json").write_bytes(mark + TEXT.encode())
    assert recipe_in(tmp_path / "r.json") == Recipe.from_json(TEXT)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"\xff\xfe", "expected a recipe in JSON, found what cannot be read"),
        (b"", "expected a recipe in JSON"),
        (b"[" * 60_000, "expected a recipe in JSON"),
        (b'{"seed": ' + b"9" * 6000 + b"}", "expected a recipe in JSON"),
        (b"[1]", "expected the form that"),
        (TEXT.replace('"base": "a"', '"base": "b", "base": "a"').encode(), "each key once, found 'base' twice"),
        (json.dumps(PLAIN | {"layer": []}).encode(), "found 'layer'; did you mean 'layers'?"),
        (json.dumps(PLAIN | {"zzz": []}).encode(), "found 'zzz'; did a newer evomerge write it?"),
        (TEXT.replace('"inputs"', '"wheer": {"module": "mlp"}, "inputs"').encode(), "rules: expected keys among"),
    ],
)
def test_what_is_none_or_would_be_half_followed_is_refused_with_its_name(
    tmp_path: Path, content: bytes, says: str
) -> None:
    (tmp_path / "r.json").write_bytes(content)
    with pytest.raises(SpaceError) as refused:
        recipe_in(tmp_path / "r.json")
    assert str(refused.value).startswith(f"{tmp_path}/r.json: ")
    assert says in str(refused.value)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "r.json")
    with pytest.raises(SpaceError, match="a pipe or a device"):
        recipe_in(tmp_path / "r.json")
