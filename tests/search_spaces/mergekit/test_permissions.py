"""The keys `allow_differences` and `trust_remote_code` of a recipe in mergekit's YAML."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from search_spaces.errors import SpaceError
from search_spaces.mergekit.reading import Reading, read_with_remarks
from search_spaces.recipes.permissions import Permissions
from tests.conftest import Family


def read(directory: Path, family: Family, **keys: Any) -> Reading:
    models = [{"model": str(expert), "parameters": {"weight": 0.5}} for expert in family.experts.values()]
    file = directory / "merge.yml"
    file.write_text(yaml.safe_dump({"merge_method": "linear", "models": models, "dtype": "float32", **keys}))
    return read_with_remarks(file, strict=True)


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({}, Permissions()),
        ({"allow_differences": ["rope_theta", "model_type"]}, Permissions(("rope_theta", "model_type"))),
        (
            {"allow_differences": "rope_theta", "trust_remote_code": True},
            Permissions(("rope_theta",), remote_code=True),
        ),
        ({"trust_remote_code": False}, Permissions()),
    ],
)
def test_a_file_lets_through_what_it_names(
    tmp_path: Path, family: Family, keys: dict[str, Any], expected: Permissions
) -> None:
    assert read(tmp_path, family, **keys).permissions == expected


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"allow_differences": {"rope_theta": 1}}, "allow_differences: expected keys of config.json, as"),
        ({"allow_differences": True}, "allow_differences: expected keys of config.json, as"),
        ({"trust_remote_code": "yes please"}, "trust_remote_code: expected true or false, found 'yes please'"),
        ({"allow_diferences": ["rope_theta"]}, r"did you mean 'allow_differences'\?"),
    ],
)
def test_what_a_file_does_not_say_clearly_is_refused(
    tmp_path: Path, family: Family, keys: dict[str, Any], message: str
) -> None:
    with pytest.raises(SpaceError, match=message):
        read(tmp_path, family, **keys)


def test_what_either_lets_through_is_let_through() -> None:
    both = Permissions(("a", "b")) | Permissions(("b", "c"), remote_code=True)
    assert both == Permissions(("a", "b", "c"), remote_code=True)
