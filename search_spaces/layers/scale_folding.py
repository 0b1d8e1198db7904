"""Input scales of layers, folded into weights: the merged model is then a plain checkpoint.

With scales c_0, c_1, ... layer k computes from x = c_k·h, h being what the layer before gave. Let S_k = c_0·...·c_k and
u = x / S_k, the hidden state as it is without scales. Where a layer gives x + b(norm(x)), and the norm does not see the
scale of its input, u becomes u + b(norm(u)) / S_k: what writes to the hidden state is divided by S_k, and nothing else
changes. After the last layer a norm takes the difference between x and u away. (Norms see scales through their eps;
live models scale that along, see `input_scale`.)

Where that holds is not looked up by name, but tried on a small model (`folding_probe`).
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING

from search_spaces.errors import SpaceError
from search_spaces.layers.folding import Folding, LayerFolds, Outlets

if TYPE_CHECKING:
    from search_spaces.parents.checkpoint import Checkpoint
    from search_spaces.parents.parents import Parents
    from search_spaces.recipes.recipe import Recipe


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
    from search_spaces.layers.architecture import settings

    found = _folding(json.dumps(settings(base), sort_keys=True))
    if isinstance(found, str):
        kind = base.config.get("model_type")
        raise SpaceError(f"input scales: cannot be folded into the weights of {kind} models: {found}; leave them out")
    return found


def layer_folds(recipe: Recipe, parents: Parents) -> LayerFolds:
    """Return what a recipe's input scales do.

    Raises:
        SpaceError: they cannot be folded; see `check_foldable`.
    """
    scales = recipe.input_scales or ()
    return LayerFolds(scales, folding_of(parents[recipe.base]).outlets if set(scales) - {1.0} else None)


@lru_cache(maxsize=64)
def _folding(settings_json: str) -> Folding | str:
    """Return what a small model of these settings confirms, or the reason why it confirms nothing."""
    from search_spaces.layers.folding_probe import FoldingProbe

    probe = FoldingProbe(json.loads(settings_json))
    for outlets in _CANDIDATES:
        folding = Folding(outlets, probe.last_norms())
        if probe.confirms(folding):
            return folding
    return probe.reason()
