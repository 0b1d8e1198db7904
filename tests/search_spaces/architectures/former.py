"""Saving a model under the names and settings that transformers 4 had for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def save_as_version_4(model: Any, directory: Path) -> Path:
    """Save a model with the module's own names of its weights, and a config with the keys of version 4."""
    model.save_pretrained(directory, save_original_format=False)
    file = directory / "config.json"
    config = json.loads(file.read_text())
    file.write_text(json.dumps({**_of_version_4(config), "transformers_version": "4.53.0"}))
    return directory


def _of_version_4(config: dict[str, Any]) -> dict[str, Any]:
    made = {key: _of_version_4(value) if key.endswith("_config") and value else value for key, value in config.items()}
    if "dtype" in made:
        made["torch_dtype"] = made.pop("dtype")
    rope = made.get("rope_parameters")
    if isinstance(rope, dict) and "rope_theta" in rope:
        del made["rope_parameters"]
        made["rope_theta"] = rope["rope_theta"]
        if "partial_rotary_factor" in rope:
            made["partial_rotary_factor"] = rope["partial_rotary_factor"]
        rest = {key: value for key, value in rope.items() if key not in ("rope_theta", "partial_rotary_factor")}
        made["rope_scaling"] = None if rest == {"rope_type": "default"} else rest
    elif isinstance(rope, dict) and set(rope) == {"full_attention", "sliding_attention"}:
        del made["rope_parameters"]
        made["rope_theta"] = rope["full_attention"].get("rope_theta")
        made["rope_local_base_freq"] = rope["sliding_attention"].get("rope_theta")
    return made
