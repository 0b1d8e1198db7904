"""What folding input scales does to the tensors of a model; `scale_folding` finds where it may be done."""

from __future__ import annotations

import itertools
import operator
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from search_spaces.recipes.groups import locate

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Fold:
    """What is done to a tensor so that its layer writes `factor` times as much to the hidden state."""

    factor: float  # positive
    zero: float = 0.0  # the value with which the tensor would write nothing

    def apply(self, tensor: Tensor) -> Tensor:
        """Fold a float32 tensor in place, and return it."""
        return tensor.sub_(self.zero).mul_(self.factor).add_(self.zero) if self.zero else tensor.mul_(self.factor)


@dataclass(frozen=True)
class Outlets:
    """The tensors of a layer through which all that it adds to the hidden state goes, exactly once."""

    modules: str  # matches a dot-separated part of their names, after the layer's number
    zero: float = 0.0  # see `Fold`

    def __contains__(self, name: str) -> bool:
        if locate(name).layer is None:
            return False
        parts = name.split(".")
        index = next(i for i, part in enumerate(parts) if part.isdecimal())
        return any(self.matches(part) for part in parts[index + 1 :])

    def matches(self, module: str) -> bool:
        """Return whether a module or parameter of this name is one of them."""
        return re.fullmatch(self.modules, module) is not None


# The projections back to the hidden state, by the names that architectures have for them.
PROJECTIONS = Outlets(
    r"(o_proj|out_proj|down_proj|c_proj|dense|dense_4h_to_h|fc2|fc_out|w2|[wW]o|output_linear|out_linear)(_bias)?"
)


@dataclass(frozen=True)
class Folding:
    """How the input scales of an architecture can be done without."""

    outlets: Outlets  # what they are folded into
    last_norms: tuple[str, ...]  # the modules that take the scale of the hidden state away after the last layer


class LayerFolds:
    """What is done to each tensor of a model so that its layers need no input scales; outlets None: nothing."""

    def __init__(self, scales: Sequence[float], outlets: Outlets | None) -> None:
        self._outlets = outlets
        self._factors = [1.0 / product for product in itertools.accumulate(scales, operator.mul)]

    def __getitem__(self, name: str) -> Fold | None:
        """Return what is done to the tensor of a name; None if it stays as it is."""
        layer = locate(name).layer
        if self._outlets is None or layer is None or name not in self._outlets or self._factors[layer] == 1.0:
            return None
        return Fold(self._factors[layer], self._outlets.zero)
