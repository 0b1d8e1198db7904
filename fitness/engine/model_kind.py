"""What kind of model it is: models of a kind are run in the same way and in the same sizes."""

from __future__ import annotations

from typing import Any

from torch import nn

_DEPTH = {"num_hidden_layers", "num_layers", "n_layers", "n_layer", "max_window_layers"}  # as configs call it


def kind_of(model: nn.Module) -> str:
    """Return a name for everything about a model that decides how it is run.

    How many layers it has does not, nor where it comes from.
    """
    parameter = next(model.parameters())
    config = getattr(model, "config", None)
    settings = config if config is None or not hasattr(config, "to_dict") else _of_any_depth(config.to_dict())
    return f"{type(model).__qualname__} {parameter.device} {parameter.dtype} {settings!r}"


def _of_any_depth(settings: dict[str, Any]) -> dict[str, Any]:
    """Return a config without depth and origin; of what it says layer by layer, only which values there are."""
    depths = {settings[name] for name in _DEPTH & settings.keys()}
    result: dict[str, Any] = {}
    for name, value in settings.items():
        if str(name).startswith("_") or name in _DEPTH:  # as _name_or_path
            continue
        if isinstance(value, dict):
            result[name] = _of_any_depth(value)
        elif isinstance(value, list) and len(value) in depths:
            result[name] = sorted(set(map(repr, value)))
        else:
            result[name] = value
    return result
