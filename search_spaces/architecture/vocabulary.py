"""Which tensors have a row for every token: those whose shape follows the config's vocabulary."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from search_spaces.architecture.modules import UNKNOWN
from search_spaces.architecture.reading import meta_module, module_keys

_KEY = "vocab_size"
_MORE = 64  # tokens, by which a vocabulary is made longer to see what follows it


def vocabulary_levels(config_json: Mapping[str, Any], main: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    """Return the levels of a config that say the vocabulary's size: the top, and that of the main stack.

    Args:
        config_json: what stands in config.json.
        main: the level of the main stack's settings.
    """
    found = []
    for level in dict.fromkeys(((), main)):
        settings: Any = config_json
        for key in level:
            settings = settings.get(key) or {}
        if isinstance(settings.get(_KEY), int):
            found.append(level)
    return tuple(found)


def vocabulary_axes(
    config_json: Mapping[str, Any], names: tuple[str, ...], main: tuple[str, ...]
) -> Mapping[str, int] | None:
    """Return tensor -> the axis along which it has a row for every token; None where transformers cannot tell.

    Args:
        config_json: what stands in config.json.
        names: of the checkpoint's tensors.
        main: the level of the main stack's settings.
    """
    try:
        return _axes(json.dumps(config_json), names, main)
    except UNKNOWN:
        return None


@lru_cache(maxsize=64)
def _axes(config_json: str, names: tuple[str, ...], main: tuple[str, ...]) -> Mapping[str, int]:
    config = json.loads(config_json)
    module = meta_module(config)
    shapes = {key: value.shape for key, value in module.state_dict().items()}
    longer = {key: value.shape for key, value in meta_module(_with_more(config, main)).state_dict().items()}
    keys = module_keys(module, names)
    found = {}
    for name, key in keys.items():
        changed = [axis for axis, pair in enumerate(zip(shapes[key], longer[key], strict=True)) if pair[0] != pair[1]]
        if changed:
            found[name] = changed[0]
    return found


def _with_more(config: dict[str, Any], main: tuple[str, ...]) -> dict[str, Any]:
    """Return a config with longer vocabularies at the top and at the main stack's level."""
    longer: dict[str, Any] = json.loads(json.dumps(config))
    for settings in _settings(longer, main):
        for key, value in settings.items():
            if key.startswith(_KEY) and isinstance(value, int):
                settings[key] = value + _MORE
    return longer


def _settings(config: dict[str, Any], main: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    yield config
    below: Any = config
    for key in main:
        below = below.get(key) or {}
    if main:
        yield below
