"""Compare what the parents' adapters were trained on with what they are put on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePath

from search_spaces.weights.comparisons.row import Row
from search_spaces.weights.parents import Checkpoint


def compare_adapters(checkpoints: Mapping[str, Checkpoint]) -> list[Row]:
    """Return one row if there are adapters; a model of another name under one is a warning, for copies have any."""
    values, notes = {}, []
    for name, checkpoint in checkpoints.items():
        if checkpoint.adapter is None:
            values[name] = "none"
            continue
        trained_on = str(checkpoint.adapter.files.config.get("base_model_name_or_path") or "not said")
        values[name] = f"LoRA for {trained_on}"
        if checkpoint.source.adapter is not None and not _same(trained_on, checkpoint):
            notes.append(f"{name!r} puts an adapter for {trained_on} on {checkpoint.source.model}")
    if not any(checkpoint.adapter for checkpoint in checkpoints.values()):
        return []
    return [Row("adapter", values, "warning" if notes else "ok", "; ".join(notes))]


def _same(trained_on: str, checkpoint: Checkpoint) -> bool:
    if Path(trained_on).is_dir() and Path(trained_on).resolve() == checkpoint.directory:
        return True
    names = {PurePath(checkpoint.source.model).name.lower(), checkpoint.directory.name.lower()}
    return PurePath(trained_on).name.lower() in names
