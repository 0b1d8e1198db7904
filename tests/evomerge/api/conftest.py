"""A folder with three tiny models and two tasks, where searches are started from Python."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import evomerge as em
from tests.conftest import Family
from tests.evomerge.conftest import write_tasks


@pytest.fixture
def arguments(tmp_path: Path, family: Family, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The arguments of a small search, in a folder of its own."""
    write_tasks(tmp_path)
    monkeypatch.chdir(tmp_path)
    return {
        "parents": list(family.experts.values()),
        "base": family.base,
        "objectives": {"sums": "sums.jsonl", "words": ["words.jsonl"]},
        "space": em.spaces.Weights("task_arithmetic", layer_blocks=1, genes={"weight": (0.0, 1.5)}),
        "optimiser": "random",
        "evaluations": 8,
        "run_dir": "run",
        "export": {"dtype": "float32"},
    }


@pytest.fixture
def searched(arguments: dict[str, Any]) -> Callable[..., em.Run]:
    """Search; keywords replace arguments."""
    return lambda **changes: em.search(**{**arguments, **changes})
