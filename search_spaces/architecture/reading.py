"""Ask transformers about a checkpoint's architecture: its module is made on the meta device, without memory."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

from search_spaces.architecture.architecture import Architecture, Stack, guess
from search_spaces.architecture.bounds import check_depths, few_modules
from search_spaces.architecture.modules import (
    UNKNOWN,
    NoModelError,
    is_known,
    read_config,
    uninitialised,
)
from search_spaces.architecture.stacks import level_around, stacks_of
from search_spaces.architecture.whole import Target, needs_of
from search_spaces.errors import SpaceError, in_brief
from search_spaces.recipes.groups import Place
from search_spaces.recipes.rule import Side

if TYPE_CHECKING:
    from torch import nn

# A config may count layers that share their weights.
_FEW_LAYERS = 1000
_MANY_TENSORS = 1000  # of the default of a model type
# A norm of an embedding that is registered after the layers, but runs before them.
_BEFORE = ("layernorm_embedding", "layer_norm_embedding")


def read_architecture(config_json: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]) -> Architecture:
    """Return a checkpoint's architecture, given its config and tensor -> shape.

    A model type that transformers does not know is guessed at, and the answer says so.

    Raises:
        SpaceError: transformers knows the model type, and can make no model of the config.
    """
    try:
        return _asked(json.dumps(config_json), tuple(shapes))
    except UNKNOWN as error:
        if not isinstance(error, NoModelError | ImportError) and _can_be_made(config_json):
            kind = config_json.get("model_type")
            raise SpaceError(
                f"expected the settings of a model of type {kind!r}, found some that transformers can make "
                f"no model of ({in_brief(error)}); mend them, or download the checkpoint again"
            ) from error
        rows = config_json.get("vocab_size")
        kind = config_json.get("model_type")
        why = f"transformers knows no {kind!r} ({in_brief(error, 160)})" if kind else "config.json has no model_type"
        return guess(shapes, shapes, rows if isinstance(rows, int) else None, why)


def _can_be_made(config_json: Mapping[str, Any]) -> bool:
    """Return whether transformers itself makes models of a config's type, when it says nothing else."""
    if not is_known(config_json):
        return False
    try:
        with few_modules(_MANY_TENSORS):
            meta_module({key: config_json[key] for key in ("model_type", "architectures") if key in config_json})
    except UNKNOWN:
        return False
    return True


def meta_module(config_json: Mapping[str, Any], *, generative: bool = False) -> nn.Module:
    """Return a module on the meta device for what stands in a config.json; see `uninitialised`."""
    import torch

    with torch.device("meta"):
        return uninitialised(read_config(config_json), torch.float32, generative=generative)


@lru_cache(maxsize=64)
def _asked(config_json: str, names: tuple[str, ...]) -> Architecture:
    config = json.loads(config_json)
    check_depths(config, max(len(names), _FEW_LAYERS))
    with few_modules(len(names)):
        module: Any = meta_module(config)
    target_of = target_finder(module)
    targets = {name: target_of(name) for name in names}
    out_of = _weight_of(getattr(module, "get_output_embeddings", None), module)
    # Without a word on it a head that no file has is the embedding.
    needs = needs_of(module, targets, optional=() if config.get("tie_word_embeddings") is False else out_of)
    keys = needs.targets
    stacks = [_with_prefixes(stack, keys) for stack in stacks_of(module, config)]
    into = _weight_of(getattr(module, "get_input_embeddings", None), module)
    embedding, head = _file_name(into, keys), _file_name(out_of[:1], keys)
    own = {name for name in (embedding, head) if name is not None}
    return Architecture(
        stacks=tuple(stacks),
        embedding=embedding,
        head=head,
        has_head=bool(out_of),
        head_level=level_around(module, out_of[0], config) if out_of else (),
        keys=keys,
        outside=_outside(module, stacks, keys, own),
        unused=frozenset(names) - keys.keys(),
        needs=needs,
    )


def module_keys(module: nn.Module, names: tuple[str, ...]) -> dict[str, str]:
    """Return tensor of a checkpoint -> the module's parameter that transformers loads it into; others are left out."""
    key_of = key_finder(module)
    return {name: key for name in names if (key := key_of(name)) is not None}


def key_finder(module: nn.Module) -> Callable[[str], str | None]:
    """Return what tells the parameter that transformers loads a checkpoint's tensor into; None: there is none."""
    state, target_of = module.state_dict(), target_finder(module)

    def key_of(name: str) -> str | None:
        key = target_of(name).key
        return key if key in state else None

    return key_of


def target_finder(module: nn.Module) -> Callable[[str], Target]:
    """Return what tells where transformers puts a checkpoint's tensor, be there such a parameter or not."""
    from transformers.conversion_mapping import get_model_conversion_mapping
    from transformers.core_model_loading import WeightConverter, WeightRenaming, rename_source_key

    state = module.state_dict()
    transforms = get_model_conversion_mapping(cast(Any, module), add_legacy=True)
    renamings = [t for t in transforms if isinstance(t, WeightRenaming)]
    converters = [t for t in transforms if isinstance(t, WeightConverter)]
    several = {source: c.target_patterns for c in converters for source in c.source_patterns}
    prefix = getattr(module, "base_model_prefix", "") or None

    def target_of(name: str) -> Target:
        key, pattern = rename_source_key(name, renamings, converters, prefix, state)
        if key not in state and name in state:
            return Target(name)
        if pattern is None:
            return Target(key)
        first, *others = several.get(pattern, (key,))
        return Target(key, tuple(key.replace(first, other) for other in others))

    return target_of


def _weight_of(part: Callable[[], Any] | None, module: nn.Module) -> list[str]:
    """Return the keys of an embedding's or a head's weight, its own before those that are tied to it.

    None where there is no such part.
    """
    try:
        owner = None if part is None else part()
    except (NotImplementedError, AttributeError):
        return []
    weight = getattr(owner, "weight", None)
    if weight is None or weight.dim() != 2:  # convolutions take the place of an embedding in towers
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
