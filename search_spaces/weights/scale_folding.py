"""Input scales of layers, folded into weights: the merged model is then a plain checkpoint.

With scales c_0, c_1, ... layer k computes from x = c_k·h, h being what the layer before gave. Let S_k = c_0·...·c_k and
u = x / S_k, the hidden state as it is without scales. Where a layer gives x + b(norm(x)), and the norm does not see the
scale of its input, u becomes u + b(norm(u)) / S_k: what writes to the hidden state is divided by S_k, and nothing else
changes. After the last layer a norm takes the difference between x and u away. (Norms see scales through their eps;
live models scale that along, see `input_scale`.)

Where that holds is not looked up by name, but tried on a small model (`folding_probe`).
"""

from __future__ import annotations

import itertools
import json
import operator
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from search_spaces.errors import SpaceError
from search_spaces.groups import locate

if TYPE_CHECKING:
    from torch import Tensor

    from search_spaces.recipe import Recipe
    from search_spaces.weights.parents import Checkpoint, Parents


@dataclass(frozen=True)
class Fold:
    """What is done to a tensor so that its layer writes `factor` times as much to the hidden state.

    Attributes:
        factor: positive.
        zero: the value with which the tensor would write nothing.
    """

    factor: float
    zero: float = 0.0

    def apply(self, tensor: Tensor) -> Tensor:
        """Fold a float32 tensor in place, and return it."""
        return tensor.sub_(self.zero).mul_(self.factor).add_(self.zero) if self.zero else tensor.mul_(self.factor)


@dataclass(frozen=True)
class Outlets:
    """The tensors of a layer through which all that it adds to the hidden state goes, exactly once.

    Attributes:
        modules: matches a dot-separated part of their names, after the layer's number.
        zero: see `Fold`.
    """

    modules: str
    zero: float = 0.0

    def __contains__(self, name: str) -> bool:
        if locate(name).layer is None:
            return False
        parts = name.split(".")
        index = next(i for i, part in enumerate(parts) if part.isdecimal())
        return any(self.matches(part) for part in parts[index + 1 :])

    def matches(self, module: str) -> bool:
        """Return whether a module or parameter of this name is one of them."""
        return re.fullmatch(self.modules, module) is not None


@dataclass(frozen=True)
class Folding:
    """How the input scales of an architecture can be done without.

    Attributes:
        outlets: what they are folded into.
        last_norms: the modules that take the scale of the hidden state away after the last layer.
    """

    outlets: Outlets
    last_norms: tuple[str, ...]


_PROJECTIONS = Outlets(
    r"(o_proj|out_proj|down_proj|c_proj|dense|dense_4h_to_h|fc2|fc_out|w2|[wW]o|output_linear|out_linear)(_bias)?"
)
_POST_NORMS = r"post_attention_layernorm|post_feedforward_layernorm|post_mlp_layernorm"

# Norms after a block undo any factor within it; those of Gemma multiply by 1 + weight.
_CANDIDATES = (
    _PROJECTIONS,
    Outlets(_POST_NORMS, zero=-1.0),
    Outlets(_POST_NORMS),
    Outlets(r"post_self_attn_layernorm|post_mlp_layernorm"),
)


def check_foldable(base: Checkpoint) -> None:
    """Do nothing if input scales of models of an architecture can be folded into their weights.

    Args:
        base: a checkpoint of the architecture; its weights are not read.

    Raises:
        SpaceError: they cannot; the message says why.
    """
    folding_of(base)


def folding_of(base: Checkpoint) -> Folding:
    """Return how input scales of an architecture are folded; see `check_foldable`."""
    from search_spaces.weights.architecture import settings

    found = _folding(json.dumps(settings(base), sort_keys=True))
    if isinstance(found, str):
        kind = base.config.get("model_type")
        raise SpaceError(f"input scales: cannot be folded into the weights of {kind} models: {found}; leave them out")
    return found


class LayerFolds:
    """What is done to each tensor of a model so that its layers need no input scales.

    Args:
        scales: of the layers, in order.
        outlets: where they are folded; None = they change nothing.
    """

    def __init__(self, scales: Sequence[float], outlets: Outlets | None) -> None:
        self._outlets = outlets
        self._factors = [1.0 / product for product in itertools.accumulate(scales, operator.mul)]

    @staticmethod
    def of_recipe(recipe: Recipe, parents: Parents) -> LayerFolds:
        """Return what a recipe's input scales do.

        Raises:
            SpaceError: they cannot be folded; see `check_foldable`.
        """
        scales = recipe.input_scales or ()
        return LayerFolds(scales, folding_of(parents[recipe.base]).outlets if set(scales) - {1.0} else None)

    def __getitem__(self, name: str) -> Fold | None:
        """Return what is done to the tensor of a name; None if it stays as it is."""
        layer = locate(name).layer
        if self._outlets is None or layer is None or name not in self._outlets or self._factors[layer] == 1.0:
            return None
        return Fold(self._factors[layer], self._outlets.zero)


@lru_cache(maxsize=64)
def _folding(settings_json: str) -> Folding | str:
    """Return what a small model of these settings confirms, or the reason why it confirms nothing."""
    from search_spaces.weights.folding_probe import FoldingProbe

    probe = FoldingProbe(json.loads(settings_json))
    for outlets in _CANDIDATES:
        folding = Folding(outlets, probe.last_norms())
        if probe.confirms(folding):
            return folding
    return probe.reason()
