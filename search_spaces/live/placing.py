"""Live modules on a device, without moving weights that are not written yet."""

from __future__ import annotations

from collections import Counter
from math import prod

import torch
from torch import nn

from search_spaces.parents.checkpoint import Checkpoint


def placed(module: nn.Module, device: torch.device) -> nn.Module:
    """Return a module on a device: its weights are undefined there, its buffers what they were.

    The weights are neither read nor copied, so that those of `build_module` never take memory of the CPU's; tied ones
    stay tied.
    """
    if device.type == "cpu":
        return module
    return on_device(module, device)


def on_device(module: nn.Module, device: torch.device) -> nn.Module:
    """Return `placed` also where the module is on that device already, with weights of its own."""
    weights: dict[int, nn.Parameter] = {}
    for owner in module.modules():
        for name, parameter in owner._parameters.items():
            if parameter is not None:
                empty = weights.get(id(parameter))
                if empty is None:
                    made = torch.empty_like(parameter, device=device)
                    empty = weights[id(parameter)] = nn.Parameter(made, requires_grad=parameter.requires_grad)
                owner._parameters[name] = empty
        for name, buffer in owner._buffers.items():
            if buffer is not None:
                owner._buffers[name] = buffer.to(device)
    return module


def stored_dtype(checkpoint: Checkpoint) -> torch.dtype:
    """Return the floating point dtype that most of a checkpoint's elements are stored in; float32 of none."""
    counts: Counter[torch.dtype] = Counter()
    for name in checkpoint.names:
        if checkpoint.dtype(name).is_floating_point:
            counts[checkpoint.dtype(name)] += prod(checkpoint.shape(name))
    found = max(counts, key=lambda dtype: counts[dtype], default=torch.float32)
    return found if found in (torch.bfloat16, torch.float16) else torch.float32
