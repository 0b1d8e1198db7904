"""Which tensors have a row for every token: those whose shape follows the config's vocabulary."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, cast

from search_spaces.architecture.levels import level_of, with_level
from search_spaces.architecture.modules import UNKNOWN
from search_spaces.architecture.reading import meta_module, module_keys

_KEY = "vocab_size"
_MORE = 64  # tokens, by which a vocabulary is made longer to see what follows it


def config_with_vocabulary(config_json: Mapping[str, Any], main: tuple[str, ...], size: int) -> dict[str, Any]:
    """Return a config with another size of the vocabulary, wherever it says the size that the main stack has.

    Args:
        config_json: what stands in config.json.
        main: the level of the main stack's settings.
        size: rows of the embedding.
    """
    longer: dict[str, Any] = json.loads(json.dumps(config_json))
    own = next((level[_KEY] for level in (level_of(longer, main), longer) if isinstance(level.get(_KEY), int)), None)
    if own is None:
        return with_level(longer, main, {**level_of(longer, main), _KEY: size})
    for level in _levels(longer):
        level |= {key: size for key, value in level.items() if _KEY in key and value == own}
    return longer


def _levels(config: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield config
    for value in config.values():
        if isinstance(value, dict):
            yield from _levels(value)


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
    into = cast(Any, module).get_input_embeddings().weight
    shapes = {key: value.shape for key, value in module.state_dict().items()}
    more = config_with_vocabulary(config, main, into.shape[0] + _MORE)
    longer = {key: value.shape for key, value in meta_module(more).state_dict().items()}
    keys = module_keys(module, names)
    found = {}
    for name, key in keys.items():
        changed = [axis for axis, pair in enumerate(zip(shapes[key], longer[key], strict=True)) if pair[0] != pair[1]]
        if changed:
            found[name] = changed[0]
    return found
