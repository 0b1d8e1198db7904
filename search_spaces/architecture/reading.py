"""Ask transformers about a checkpoint's architecture: its module is made on the meta device, without memory."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import Any, cast

import torch
from torch import nn

from search_spaces.architecture.architecture import TEXT, Architecture, Stack, guess
from search_spaces.architecture.modules import UNKNOWN, read_config, uninitialised
from search_spaces.errors import in_brief
from search_spaces.recipes.groups import Place
from search_spaces.recipes.recipe import Side

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
)
# A norm of an embedding that is registered after the layers, but runs before them.
_BEFORE = ("layernorm_embedding", "layer_norm_embedding")


def read_architecture(config_json: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]) -> Architecture:
    """Return a checkpoint's architecture, given its config and tensor -> shape.

    A model type that transformers does not know is guessed at, and the answer says so.
    """
    try:
        return _asked(json.dumps(config_json), tuple(shapes))
    except UNKNOWN as error:
        rows = config_json.get("vocab_size")
        why = f"transformers knows no {config_json.get('model_type')!r} ({in_brief(error, 160)})"
        return guess(shapes, shapes, rows if isinstance(rows, int) else None, why)


def meta_module(config_json: Mapping[str, Any], *, generative: bool = False) -> nn.Module:
    """Return a module on the meta device for what stands in a config.json; see `uninitialised`."""
    with torch.device("meta"):
        return uninitialised(read_config(config_json), torch.float32, generative=generative)


@lru_cache(maxsize=64)
def _asked(config_json: str, names: tuple[str, ...]) -> Architecture:
    config = json.loads(config_json)
    module: Any = meta_module(config)
    keys = module_keys(module, names)
    stacks = [_with_prefixes(stack, keys) for stack in stacks_of(module, config)]
    into = _weight_of(getattr(module, "get_input_embeddings", None), module)
    out_of = _weight_of(getattr(module, "get_output_embeddings", None), module)
    embedding, head = _file_name(into, keys), _file_name(out_of[:1], keys)
    own = {name for name in (embedding, head) if name is not None}
    return Architecture(
        stacks=tuple(stacks),
        embedding=embedding,
        head=head,
        has_head=bool(out_of),
        keys=keys,
        outside=_outside(module, stacks, keys, own),
        unused=frozenset(names) - keys.keys(),
    )


def module_keys(module: nn.Module, names: tuple[str, ...]) -> dict[str, str]:
    """Return tensor of a checkpoint -> the module's parameter that transformers loads it into; others are left out."""
    from transformers.conversion_mapping import get_model_conversion_mapping
    from transformers.core_model_loading import WeightConverter, WeightRenaming, rename_source_key

    state = module.state_dict()
    transforms = get_model_conversion_mapping(cast(Any, module), add_legacy=True)
    renamings = [t for t in transforms if isinstance(t, WeightRenaming)]
    converters = [t for t in transforms if isinstance(t, WeightConverter)]
    prefix = getattr(module, "base_model_prefix", "") or None
    found = {}
    for name in names:
        key, _ = rename_source_key(name, renamings, converters, prefix, state)
        if key in state:
            found[name] = key
        elif name in state:
            found[name] = name
    return found


def _weight_of(part: Callable[[], Any] | None, module: nn.Module) -> list[str]:
    """Return the keys of an embedding's or a head's weight, its own before those that are tied to it.

    None where there is no such part.
    """
    try:
        owner = None if part is None else part()
    except (NotImplementedError, AttributeError):
        return []
    weight = getattr(owner, "weight", None)
    if weight is None:
        return []
    own = next((f"{name}.weight" for name, submodule in module.named_modules() if submodule is owner), "")
    keys = [key for key, value in module.state_dict(keep_vars=True).items() if value is weight]
    return sorted(keys, key=lambda key: key != own)


def _file_name(weights: Sequence[str], keys: Mapping[str, str]) -> str | None:
    """Return the tensor of the file that is loaded into the first of some keys that it has."""
    files: dict[str, str] = {}
    for name, key in keys.items():
        files.setdefault(key, name)
    return next((files[key] for key in weights if key in files), None)


def stacks_of(module: nn.Module, config: Mapping[str, Any] = MappingProxyType({})) -> list[Stack]:
    """Return a live module's stacks, the main one first, with the depth's keys of its config.json; no prefixes."""
    found: dict[tuple[str, tuple[str, ...]], tuple[int, Stack]] = {}
    for path, layers in module.named_modules():
        if not isinstance(layers, nn.ModuleList) or not len(layers):
            continue
        owner, backbone = _owner(module, path)
        level, settings = _level(config, owner, module)
        said = tuple(
            key for key in DEPTH_KEYS if getattr(owner, key, None) == len(layers) and key in _depth_keys(owner)
        )
        if not said:
            continue
        name = _stack_name(module, owner, path)
        keys = tuple(key for key in _depth_keys(owner) if settings.get(key) == len(layers) and _speaks_of(key, name))
        stack = Stack(name, len(layers), (), level, keys, path, backbone)
        size = sum(parameter.numel() for parameter in layers.parameters())
        if size > found.get((stack.name, level), (0, stack))[0]:
            found[stack.name, level] = (size, stack)
    stacks = [stack for _, stack in found.values()]
    inner = [s for s in stacks if not any(s is not o and s.path.startswith(f"{o.path}.") for o in stacks)]
    return sorted(_distinct(inner), key=lambda stack: (_rank(stack), stack.path))


def _speaks_of(key: str, stack: str) -> bool:
    """An encoder-decoder's settings have a key for each: `num_layers` is the encoder's beside `num_decoder_layers`."""
    return ("decoder" in key) == (stack == "decoder") if stack in ("encoder", "decoder") else True


def _distinct(stacks: list[Stack]) -> Iterator[Stack]:
    """Yield stacks with names of their own."""
    seen: dict[str, int] = {}
    for stack in stacks:
        seen[stack.name] = seen.get(stack.name, 0) + 1
        number = seen[stack.name]
        name = stack.name if number == 1 else f"{stack.name}_{number}"
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


def _level(config: Mapping[str, Any], owner: Any, module: nn.Module) -> tuple[tuple[str, ...], Mapping[str, Any]]:
    """Return where in config.json a module's settings stand, and these."""
    for level, found in _levels(cast(Any, module).config, ()):
        if found is owner or (level and type(found) is type(owner)):
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


def _stack_name(module: nn.Module, owner: Any, path: str) -> str:
    parts = path.split(".")
    root = cast(Any, module).config
    for name in ("vision", "audio"):
        if name in type(owner).__name__.lower() or name in type(owner).model_type:
            return name
    if getattr(root, "is_encoder_decoder", False):
        for name in ("encoder", "decoder"):
            if name in parts:
                return name
    reads = getattr(module, "main_input_name", "input_ids") if owner is root else "input_ids"
    return {"pixel_values": "vision", "input_values": "audio", "input_features": "audio"}.get(reads, TEXT)


def _with_prefixes(stack: Stack, keys: Mapping[str, str]) -> Stack:
    """Return a stack with what the checkpoint's names begin with; they have as many numbers before as the keys."""
    start, before = f"{stack.path}.", sum(part.isdecimal() for part in stack.path.split("."))
    prefixes = {_up_to_number(name, before) for name, key in keys.items() if key.startswith(start)}
    found = tuple(sorted(prefix for prefix in prefixes if prefix is not None))
    return Stack(stack.name, stack.depth, found, stack.level, stack.depth_keys, stack.path, stack.backbone)


def _up_to_number(name: str, before: int) -> str | None:
    parts = name.split(".")
    numbers = [i for i, part in enumerate(parts) if part.isdecimal()]
    return ".".join(parts[: numbers[before]]) + "." if len(numbers) > before else None


def _outside(module: nn.Module, stacks: list[Stack], keys: Mapping[str, str], own: set[str]) -> dict[str, Place]:
    """Return the places of tensors outside of layers; modules are registered in the order in which they run."""
    order = {key: i for i, key in enumerate(module.state_dict())}
    firsts = {
        stack.name: min((order[key] for key in order if key.startswith(f"{stack.path}.")), default=0)
        for stack in stacks
    }
    found = {}
    for name, key in keys.items():
        around = [stack for stack in stacks if key.startswith(stack.backbone) and stack.backbone]
        stack = max(around, key=lambda stack: len(stack.backbone), default=None)
        if stack is None and stacks and (len(stacks) == 1 or name in own):
            stack = stacks[0]
        first = firsts[stack.name] if stack is not None else firsts[stacks[0].name] if stacks else len(order)
        side: Side = "before" if order[key] < first or any(part in key for part in _BEFORE) else "after"
        found[name] = Place(None, "other", side, "" if stack is None else stack.name)
    return found
