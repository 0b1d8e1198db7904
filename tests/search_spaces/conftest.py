from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from search_spaces.parents.parents import Parents
from tests.conftest import Family, make_family
from tests.search_spaces.merging.recipes import opened


@pytest.fixture(scope="session")
def parents(family: Family) -> Parents:
    return opened(family.parents)


@pytest.fixture(scope="session")
def untied(tmp_path_factory: pytest.TempPathFactory) -> Family:
    return make_family(tmp_path_factory.mktemp("untied"), tied=False)


@pytest.fixture
def damaged(family: Family, tmp_path: Path) -> Path:
    """A copy of the base, to be damaged."""
    return Path(shutil.copytree(family.base, tmp_path / "damaged"))


@pytest.fixture
def set_config(damaged: Path) -> Callable[..., Path]:
    def change(**settings: Any) -> Path:
        config = json.loads((damaged / "config.json").read_text())
        (damaged / "config.json").write_text(json.dumps({**config, **settings}))
        return damaged

    return change
