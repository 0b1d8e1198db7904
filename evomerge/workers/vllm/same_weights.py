"""A module of transformers whose weights are those that vLLM computes with, for evomerge's own engine: no second copy.

vLLM lays some weights of a checkpoint side by side (`packed_modules_mapping`: queries, keys and values in one), each a
run of rows of the whole. Whether every weight was found is shown by their values.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from search_spaces.errors import SpaceError
from search_spaces.live.layer_surgery import replace_weights
from search_spaces.live.resident import ResidentModel
from search_spaces.merging.materialise import carried_out
from search_spaces.merging.memory import MergeMemory
from search_spaces.merging.plan import plan_tensors
from search_spaces.parents.parents import Parents
from search_spaces.recipes.recipe import Recipe

_LOG = logging.getLogger(__name__)


def module_on_same_weights(
    make: Callable[[], nn.Module], served: nn.Module, recipe: Recipe, parents: Parents
) -> nn.Module | None:
    """Return a module that computes with a vLLM model's weights, now and whatever is written to them.

    Args:
        make: returns a module of the recipe's architecture; its weights do not matter.
        served: vLLM's model, in this process, which has become the recipe.
        recipe: of which every weight is compared.
        parents: of the recipe, opened.

    Returns:
        The module; None where vLLM has the weights in another form, as sharded, padded or packed for its kernels.
    """
    module = make()
    views = _views(module, served)
    if views is None:
        return None
    device = next(iter(views.values())).device
    replace_weights(module, views)
    module = module.to(device)  # buffers: its weights are there
    try:
        same = _holds(module, recipe, parents)
    except SpaceError as error:
        _LOG.info("vLLM's weights cannot be shared: %s", error)
        return None
    return module if same else None


def _views(module: nn.Module, served: nn.Module) -> dict[str, Tensor] | None:
    """Return a module's weight -> where vLLM has it; None where some are not found in the same form."""
    packed = _packed(served)
    whole = dict(served.named_parameters())
    wanted = dict(module.named_parameters())
    found: dict[str, Tensor] = {}
    for key, weight in wanted.items():
        name, start = _place(key, packed, wanted)
        at = whole.get(name)
        if at is None or at.dtype != weight.dtype or at.shape[1:] != weight.shape[1:] or not weight.dim():
            return None
        view = at.data[start : start + len(weight)]
        if len(view) != len(weight):
            return None
        found[key] = view
    return found


def _packed(served: nn.Module) -> dict[str, tuple[str, list[str]]]:
    """Return the last part of a module's name -> what it is a part of, and all its parts in order."""
    mapping: Mapping[str, list[str]] = getattr(served, "packed_modules_mapping", None) or {}
    return {part: (whole, parts) for whole, parts in mapping.items() for part in parts if len(parts) > 1}


def _place(key: str, packed: Mapping[str, tuple[str, list[str]]], wanted: Mapping[str, Tensor]) -> tuple[str, int]:
    """Return the name of vLLM's weight that has one of a module's, and the row where it begins."""
    owner, _, kind = key.rpartition(".")
    path, dot, layer = owner.rpartition(".")
    if layer not in packed:
        return key, 0
    whole, parts = packed[layer]
    before = [f"{path}{dot}{part}.{kind}" for part in parts[: parts.index(layer)]]
    return f"{path}{dot}{whole}.{kind}", sum(len(wanted[name]) for name in before if name in wanted)


@torch.no_grad()
def _holds(module: nn.Module, recipe: Recipe, parents: Parents) -> bool:
    targets = ResidentModel(module, parents).targets(recipe)
    plans = plan_tensors(recipe, parents, targets)
    made = carried_out(plans.values(), parents, memory=MergeMemory())
    return all(
        torch.equal(target, tensor.to(target.device, target.dtype))
        for target, tensor in zip(targets.values(), made, strict=True)
    )
