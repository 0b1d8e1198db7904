"""What a live model costs by itself: its depth, its parameters, and how far it is from the base."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from search_spaces.errors import SpaceError
from search_spaces.layers.halves import live_halves
from search_spaces.layers.layer_behaviour import layers_of
from search_spaces.live.file_names import FileNames
from search_spaces.parents.checkpoint import Checkpoint

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

_MILLION = 1e6


def depth_of(model: nn.Module) -> float:
    """Return how many layers of a model are run; one whose attention or MLP writes nothing counts by half.

    Raises:
        SpaceError: its weights are in no numbered layers.
    """
    layers = layers_of(model)
    if not layers:
        raise SpaceError("cost: depth: expected a model with layers, found none; leave the objective out")
    return sum(0.5 * (half is None or half.writes) for layer in layers for half in live_halves(layer))


def parameters_of(model: nn.Module) -> float:
    """Return how many million parameters a model needs: tied ones once, and none of what writes nothing."""
    idle = {
        id(parameter)
        for layer in layers_of(model)
        for half in live_halves(layer)
        if half is not None and not half.writes
        for parameter in half.parameters
    }
    return sum(p.numel() for p in model.parameters() if id(p) not in idle) / _MILLION


class FromBase:
    """How a live model differs from a checkpoint of its own shape, in what an export would round to.

    Args:
        base: to compare with.
        dtype: of the exports; the base is rounded to it as well.
    """

    def __init__(self, base: Checkpoint, dtype: torch.dtype) -> None:
        self._base, self._dtype = base, dtype

    def distance(self, model: nn.Module) -> float:
        """Return the norm of the difference of all weights, over that of the base; 0 for the base."""
        difference, _, norm, _ = self._sums(model)
        return math.sqrt(difference / norm) if norm else 0.0

    def density(self, model: nn.Module) -> float:
        """Return the share of the weights, in [0, 1], that are not the base's; 0 for the base."""
        _, changed, _, size = self._sums(model)
        return changed / size if size else 0.0

    def _sums(self, model: nn.Module) -> tuple[float, float, float, int]:
        """Return the squared differences, how many there are, the base's squares, and how many weights."""
        import torch

        names, told = FileNames(model, self._base), set()
        found = torch.zeros(3, dtype=torch.float64)
        size = 0
        for key, weight in model.state_dict().items():
            for part in names.of(key, weight) if weight.is_floating_point() else ():
                if part.name in self._base and part.name not in told:
                    told.add(part.name)
                    found += self._of_tensor(part.name, part.of(weight))
                    size += math.prod(self._base.shape(part.name))
        difference, changed, norm = found.tolist()
        return difference, changed, norm, size

    def _of_tensor(self, name: str, own: Tensor) -> Tensor:
        import torch

        theirs = self._base.tensor(name).to(own.device).to(self._dtype).to(torch.float32)
        if theirs.shape != own.shape:
            raise SpaceError(
                f"cost: distance and density: expected {name} to be {tuple(theirs.shape)} as in the base, found "
                f"{tuple(own.shape)}; leave the objective out"
            )
        away = own.to(torch.float32) - theirs
        squares = [(away * away).sum(dtype=torch.float64), (theirs * theirs).sum(dtype=torch.float64)]
        return torch.stack([squares[0], (away != 0).sum(dtype=torch.float64), squares[1]]).cpu()
