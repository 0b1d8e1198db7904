"""Compare what lies beside the weights and says how a model is used: processors, pooling, prompts of embeddings."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evomerge.content import content_of
from search_spaces.checks.tensors import PreflightRow, same_as_base
from search_spaces.errors import shortened
from search_spaces.parents.checkpoint import Checkpoint
from search_spaces.parents.model_files import MODULES, companions

_BOOKKEEPING = ("transformers_version", "processor_class", "__version__", "auto_map", "name_or_path")
_MOST_SHOWN = 60
_ADVICE = "the merge takes the base's"


def compare_companions(checkpoints: Mapping[str, Checkpoint], base: str) -> list[PreflightRow]:
    """Return a row for each setting that a parent has in a file of its own, with another value than the base's."""
    found = {name: _settings(checkpoint.directory) for name, checkpoint in checkpoints.items()}
    rows = []
    for key, value in found[base].items():
        values = {name: shortened(json.dumps(own.get(key, value)), _MOST_SHOWN) for name, own in found.items()}
        rows.append(same_as_base(key, values, base, otherwise="warning", advice=_ADVICE))
    return [row for row in rows if row.level != "ok"]


def _settings(directory: Path) -> dict[str, Any]:
    """Return file and setting -> value; a file that cannot be read has none."""
    found: dict[str, Any] = {}
    for path in companions(directory):
        if path.suffix != ".json" or path.name == MODULES:
            continue
        try:
            data = json.loads(content_of(path).decode())
        except (OSError, ValueError, RecursionError):
            continue
        file = path.relative_to(directory)
        if isinstance(data, dict):
            found |= {f"{file}: {key}": value for key, value in data.items() if key not in _BOOKKEEPING}
    return found
