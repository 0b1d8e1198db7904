"""Where a checkpoint's tensors go, said so that checkpoints of other classes, prefixes and packings can be compared."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

from search_spaces.architecture.architecture import Stack
from search_spaces.architecture.parts import Part, checkpoint_parts
from search_spaces.architecture.reading import meta_module
from search_spaces.architecture.stacks import stacks_of

if TYPE_CHECKING:
    from torch import nn

# (stack, the parameter's name within the stack's own module); ("", its name without the wrapper's prefix) elsewhere.
Identity = tuple[str, str]


@dataclass(frozen=True)
class Slot:
    """Where a checkpoint's tensor goes."""

    parameter: Identity
    part: Part | None = None  # which part of the parameter it is; None: all of it


@dataclass(frozen=True)
class Slots:
    """Where each of a checkpoint's tensors goes; those that the module does not have are left out.

    Attributes:
        of: tensor -> where it goes.
        parameters: everything that the module has.
    """

    of: Mapping[str, Slot]
    parameters: frozenset[Identity]


def slots_of(config_json: Mapping[str, Any], names: tuple[str, ...]) -> Slots:
    """Return where tensors of these names go in the module that a config.json names."""
    return _slots(json.dumps(config_json), names)


@lru_cache(maxsize=32)
def _slots(config_json: str, names: tuple[str, ...]) -> Slots:
    from transformers.conversion_mapping import get_model_conversion_mapping
    from transformers.core_model_loading import WeightConverter, WeightRenaming, rename_source_key

    module = meta_module(json.loads(config_json))
    state = module.state_dict()
    transforms = get_model_conversion_mapping(cast(Any, module), add_legacy=True)
    renamings = [t for t in transforms if isinstance(t, WeightRenaming)]
    converters = [t for t in transforms if isinstance(t, WeightConverter)]
    prefix = getattr(module, "base_model_prefix", "") or None
    names_of = Identities(module, stacks_of(module))

    def plain(name: str) -> str:
        for renaming in renamings:  # transformers before 5.20 has no function for it
            name, _ = renaming.rename_source_key(name)
        return name.removeprefix(f"{prefix}.")

    found: dict[str, Slot] = {}
    packed: dict[str, dict[str, Part]] = {}
    for name in names:
        key, pattern = rename_source_key(name, renamings, converters, prefix, state)
        if key not in state:
            continue
        slot = Slot(names_of.identity(key))
        if pattern is not None:
            if key not in packed:
                packed[key] = {plain(part.name): part for part in checkpoint_parts(module, [key])[key]}
            part = packed[key].get(plain(name))
            if part is None:
                continue
            slot = slot if len(packed[key]) == 1 else Slot(slot.parameter, part)
        found[name] = slot
    return Slots(found, frozenset(map(names_of.identity, state)))


class Identities:
    """Names of a module's parameters that do not depend on what is wrapped around its stacks."""

    def __init__(self, module: nn.Module, stacks: Iterable[Stack]) -> None:
        """Take the module's stacks (`stacks_of`)."""
        self._prefix = f"{getattr(module, 'base_model_prefix', '')}."
        self._backbones = sorted(((s.backbone, s.name) for s in stacks), key=lambda pair: -len(pair[0]))

    def identity(self, key: str) -> Identity:
        """Return what a parameter is, by its key in the module."""
        for backbone, stack in self._backbones:
            if key.startswith(backbone):
                return stack, key.removeprefix(backbone)
        return "", key.removeprefix(self._prefix)
