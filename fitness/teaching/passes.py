"""Forward passes with a graph: windows as padded rows, logits only where they are read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from fitness.engine.model.forward import device_of, logits_at, without_cache
from fitness.engine.scoring.windows import Window


def logits_of(model: nn.Module, windows: Sequence[Window], *, checkpointing: bool = False) -> Tensor:
    """Return the logits at the windows' places, (n_places, n_vocabulary), window after window, with a graph.

    A causal model's outputs do not depend on what follows, so that rows are padded with their last token and need no
    mask. With checkpointing a layer's activations are computed again when the gradient comes by: only its inputs are
    kept.
    """
    device = device_of(model)
    length = max(len(window.inputs) for window in windows)
    rows = [[*window.inputs, *window.inputs[-1:] * (length - len(window.inputs))] for window in windows]
    places = [row * length + place for row, window in enumerate(windows) for place in window.places]
    again = checkpointing and torch.is_grad_enabled()
    with _computing_layers_again(model) if again else nullcontext():
        return logits_at(
            model, torch.tensor(rows, device=device), torch.tensor(places, device=device), **without_cache(model)
        )


@contextmanager
def _computing_layers_again(model: nn.Module) -> Iterator[None]:
    """Let each layer keep nothing but its inputs, whatever mode the model is in: dropout stays off in evaluation."""
    layers = _layers(model)
    own = [vars(layer).get("forward") for layer in layers]
    for layer in layers:
        layer.forward = _computed_again(layer.forward)
    try:
        yield
    finally:
        for layer, forward in zip(layers, own, strict=True):
            if forward is None:
                del layer.forward
            else:
                layer.forward = forward


def _computed_again(forward: Any) -> Any:
    def run(*inputs: Any, **named: Any) -> Any:
        return checkpoint(forward, *inputs, use_reentrant=False, **named)

    return run


def _layers(model: nn.Module) -> list[nn.Module]:
    """Return the model's layers: the longest list of modules that lies in no other."""
    lists = [module for module in model.modules() if isinstance(module, nn.ModuleList)]
    inner = {id(module) for outer in lists for module in outer.modules() if module is not outer}
    outermost = [list(module) for module in lists if id(module) not in inner]
    return max(outermost, key=len, default=[])
