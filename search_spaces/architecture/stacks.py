"""The stacks of layers of a live module, and where config.json speaks of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain, count
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, cast

from search_spaces.architecture.architecture import TEXT, Stack

if TYPE_CHECKING:
    from torch import nn

# What transformers' configurations call a depth.
DEPTH_KEYS = (
    "num_hidden_layers",
    "n_layer",
    "n_layers",
    "num_layers",
    "decoder_layers",
    "encoder_layers",
    "num_decoder_layers",
    "num_encoder_layers",
    "depth",
    "num_blocks",
)


def stacks_of(module: nn.Module, config: Mapping[str, Any] = MappingProxyType({})) -> list[Stack]:
    """Return a live module's stacks, the main one first, with the depth's keys of its config.json; no prefixes."""
    from torch import nn

    found: dict[tuple[str, tuple[str, ...]], tuple[int, Stack]] = {}
    for path, layers in module.named_modules():
        if not isinstance(layers, nn.ModuleList) or not len(layers):
            continue
        owner, backbone = _owner(module, path)
        level, settings = _level(config, owner, module, path)
        said = tuple(
            key for key in DEPTH_KEYS if getattr(owner, key, None) == len(layers) and key in _depth_keys(owner)
        )
        if not said:
            continue
        name = _stack_name(module, owner, level, path)
        keys = tuple(key for key in _depth_keys(owner) if settings.get(key) == len(layers) and _speaks_of(key, name))
        stack = Stack(name, len(layers), (), level, keys, path, backbone)
        size = sum(parameter.numel() for parameter in layers.parameters())
        if size > found.get((stack.name, level), (0, stack))[0]:
            found[stack.name, level] = (size, stack)
    stacks = [stack for _, stack in found.values()]
    inner = [s for s in stacks if not any(s is not o and s.path.startswith(f"{o.path}.") for o in stacks)]
    decoding = _decoder_layers(module)
    return list(_distinct(sorted(inner, key=lambda s: (_rank(s), s.path not in decoding, s.path))))


def _decoder_layers(module: nn.Module) -> set[str]:
    """Return the paths of all lists of modules in what transformers calls a model's decoder."""
    try:
        within = {id(part) for part in cast(Any, module).get_decoder().modules()}
    except (NotImplementedError, AttributeError):  # transformers has none, or None
        return set()
    return {path for path, part in module.named_modules() if id(part) in within}


def _speaks_of(key: str, stack: str) -> bool:
    """An encoder-decoder's settings have a key for each: `num_layers` is the encoder's beside `num_decoder_layers`."""
    return ("decoder" in key) == (stack == "decoder") if stack in ("encoder", "decoder") else True


def _distinct(stacks: list[Stack]) -> Iterator[Stack]:
    """Yield stacks with names of their own."""
    seen: set[str] = set()
    for stack in stacks:
        own = [key.removesuffix("_config") for key in stack.level[-1:]]  # as transformers calls it: a Q-Former
        numbered = (f"{stack.name}_{number}" for number in count(2))
        name = next(name for name in chain([stack.name], own, numbered) if name not in seen)
        seen.add(name)
        yield Stack(name, stack.depth, (), stack.level, stack.depth_keys, stack.path, stack.backbone)


def _rank(stack: Stack) -> int:
    order = ("decoder", TEXT, "encoder", "vision", "audio")
    return order.index(stack.name) if stack.name in order else len(order)


def _depth_keys(config: Any) -> tuple[str, ...]:
    renamed = getattr(type(config), "attribute_map", {})
    return tuple(dict.fromkeys([*DEPTH_KEYS, *(renamed[key] for key in DEPTH_KEYS if key in renamed)]))


def _owner(module: nn.Module, path: str) -> tuple[Any, str]:
    """Return the config and the prefix of the nearest model around a submodule."""
    from transformers import PreTrainedModel

    parts = path.split(".")
    config: Any = None
    for stop in range(len(parts) - 1, 0, -1):
        around: Any = module.get_submodule(".".join(parts[:stop]))
        config = getattr(around, "config", None) if config is None else config
        if isinstance(around, PreTrainedModel):
            return config, ".".join(parts[:stop]) + "."
    return cast(Any, module).config if config is None else config, ""


def level_around(module: nn.Module, path: str, config: Mapping[str, Any]) -> tuple[str, ...]:
    """Return where in config.json the settings of the nearest model around a submodule or parameter stand."""
    owner, _ = _owner(module, path)
    return _level(config, owner, module, path)[0]


def _level(
    config: Mapping[str, Any], owner: Any, module: nn.Module, path: str
) -> tuple[tuple[str, ...], Mapping[str, Any]]:
    """Return where in config.json a module's settings stand, and these.

    Models copy what they are given: a level of the owner's type will do, best one that the module is named after.
    """
    levels = list(_levels(cast(Any, module).config, ()))
    alike = [level for level, found in levels if level and type(found) is type(owner)]
    named = [level for level in alike if level[-1] in path.split(".")]
    same = [level for level, found in levels if found is owner]
    for level in (*same, *named, *alike):
        settings: Any = config
        for key in level:
            settings = settings.get(key) or {}
        return level, settings
    return (), config


def _levels(config: Any, at: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    yield at, config
    for key in getattr(config, "sub_configs", {}):
        below = getattr(config, key, None)
        if below is not None and below is not config:
            yield from _levels(below, (*at, key))


def _stack_name(module: nn.Module, owner: Any, level: tuple[str, ...], path: str) -> str:
    root = cast(Any, module).config
    said = " ".join((type(owner).__name__.lower(), type(owner).model_type, *level))
    for name in ("vision", "audio"):
        if name in said:
            return name
    if getattr(root, "is_encoder_decoder", False):
        found = next((part for part in path.split(".") if part in ("encoder", "decoder")), None)
        if found is not None:
            return found
    reads = getattr(module, "main_input_name", "input_ids") if owner is root else "input_ids"
    return {"pixel_values": "vision", "input_values": "audio", "input_features": "audio"}.get(reads, TEXT)
