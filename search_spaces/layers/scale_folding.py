"""Input scales of layers, folded into weights: the merged model is then a plain checkpoint.

With scales c_0, c_1, ... layer k computes from x = c_k·h, h being what the layer before gave. Let S_k = c_0·...·c_k and
u = x / S_k, the hidden state as it is without scales. Where a layer gives x + b(norm(x)), and the norm does not see the
scale of its input, u becomes u + b(norm(u)) / S_k: what writes to the hidden state is divided by S_k, and nothing else
changes. After the last layer a norm takes the difference between x and u away. (Norms see scales through their eps;
live models scale that along, see `scale_inputs`.)

Where that holds is not looked up by name, but tried on a small model (`FoldingProbe`).
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from search_spaces.architecture.parts import checkpoint_tensors
from search_spaces.errors import SpaceError
from search_spaces.layers.architecture import module_of, settings
from search_spaces.layers.folding import PROJECTIONS, Folding, LayerFolds, Outlets
from search_spaces.layers.layer_behaviour import has_eps, layers_of, scale_inputs
from search_spaces.layers.output_config import small_settings
from search_spaces.parents.checkpoint import Checkpoint
from search_spaces.parents.parents import Parents
from search_spaces.recipes.groups import locate
from search_spaces.recipes.recipe import Recipe

_POST_NORMS = r"post_attention_layernorm|post_feedforward_layernorm|post_mlp_layernorm"

# Norms after a block undo any factor within it; those of Gemma multiply by 1 + weight.
_CANDIDATES = (
    PROJECTIONS,
    Outlets(_POST_NORMS, zero=-1.0),
    Outlets(_POST_NORMS),
    Outlets(r"post_self_attn_layernorm|post_mlp_layernorm"),
)


def check_foldable(base: Checkpoint) -> None:
    """Do nothing if input scales of models of an architecture can be folded into weights; else raise the reason."""
    folding_of(base)


def folding_of(base: Checkpoint) -> Folding:
    """Return how input scales of an architecture are folded; see `check_foldable`."""
    found = _folding(json.dumps(settings(base), sort_keys=True))
    if isinstance(found, str):
        kind = base.config.get("model_type")
        raise SpaceError(f"input scales: cannot be folded into the weights of {kind} models: {found}; leave them out")
    return found


def layer_folds(recipe: Recipe, parents: Parents) -> LayerFolds:
    """Return what a recipe's input scales do."""
    scales = recipe.input_scales or ()
    return LayerFolds(scales, folding_of(parents[recipe.base]).outlets if set(scales) - {1.0} else None)


@lru_cache(maxsize=64)
def _folding(settings_json: str) -> Folding | str:
    """Return what a small model of these settings confirms, or the reason why it confirms nothing."""
    probe = FoldingProbe(json.loads(settings_json))
    for outlets in _CANDIDATES:
        folding = Folding(outlets, probe.last_norms())
        if probe.confirms(folding):
            return folding
    return probe.reason()


_N_TOKENS = 12
_MOST_PARAMETERS = 500_000_000

# As a share of what the scales change: rounding stays far below, blocks that see the scale of their input far above.
_TOLERANCE = 1e-2


class FoldingProbe:
    """A small model with random weights, and what it computes with input scales on its layers."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        """Build the model, from an architecture's settings with defaults filled in."""
        self._model = small_model(settings)
        self._layers = layers_of(self._model)
        self._scales = tuple(0.6 if k % 2 else 1.75 for k in range(len(self._layers)))

    @torch.no_grad()
    def confirms(self, folding: Folding) -> bool:
        """Return whether folding the scales gives the logits that the layers give with scales."""
        folds = LayerFolds(self._scales, folding.outlets)
        folded, scaled = copy.deepcopy(self._model), copy.deepcopy(self._model)
        for name, tensor in checkpoint_tensors(folded).items():
            fold = folds[name]
            if fold is not None:
                fold.apply(tensor)
        scale_inputs(scaled, self._scales, folding)
        expected = logits_of(scaled)
        return _distance(logits_of(folded), expected) <= _TOLERANCE * _distance(logits_of(self._model), expected)

    @torch.no_grad()
    def reason(self) -> str:
        """Return why no folding gives the same logits."""
        if not self._layers:
            return "the names of its weights number no layers"
        if not self._ends_with_a_norm():
            return "no norm after its last layer takes the scale of the hidden state away"
        return (
            "its layers are not of the form h + block(norm(h)), or what their blocks write with has names that are not "
            "known here"
        )

    @torch.no_grad()
    def last_norms(self) -> tuple[str, ...]:
        """The norms that run after the last layer and not before it."""
        before: set[str] = set()
        after: list[str] = []

        def note(name: str) -> Callable[..., None]:
            return lambda *_: after.append(name)

        within = {id(module) for layer in self._layers for module in layer.modules()}
        with ExitStack() as hooks:
            for name, module in self._model.named_modules():
                if id(module) not in within and has_eps(module):
                    hooks.enter_context(module.register_forward_hook(note(name)))
            if self._layers:
                hooks.enter_context(self._layers[-1].register_forward_pre_hook(lambda *_: _move(after, before)))
            logits_of(self._model)
        return tuple(name for name in after if name not in before)

    def _ends_with_a_norm(self) -> bool:
        # So large that no eps counts.
        ours, theirs = self._logits_at(1e3), self._logits_at(2e3)
        return _distance(ours, theirs) <= _TOLERANCE * float(theirs.abs().max())

    def _logits_at(self, scale: float) -> Tensor:
        """Return the logits when what the last layer gives is scaled."""

        def scaled(_: nn.Module, __: Any, output: Any) -> Any:
            return (output[0] * scale, *output[1:]) if isinstance(output, tuple) else output * scale

        with self._layers[-1].register_forward_hook(scaled):
            return logits_of(self._model)


def _move(names: list[str], to: set[str]) -> None:
    to.update(names)
    names.clear()


def small_model(settings: Mapping[str, Any]) -> nn.Module:
    """Return a small model of an architecture with random weights, from its settings with defaults filled in."""
    errors = []
    for small in small_settings(settings):
        try:
            model = module_of(small)
            n_parameters = sum(parameter.numel() for parameter in model.parameters())
            if n_parameters > _MOST_PARAMETERS:
                raise SpaceError(f"its smallest has {n_parameters:,} parameters")
            _randomise(model)
            with torch.no_grad():
                logits_of(model)
        except Exception as error:  # whatever a model's code does not like about small settings
            errors.append(error)
        else:
            return model
    raise SpaceError(f"input scales: no small {settings.get('model_type')} model could be made to try ({errors[-1]})")


@torch.no_grad()
def _randomise(model: nn.Module) -> None:
    generator = torch.Generator().manual_seed(0)
    for name, parameter in model.named_parameters():
        parameter.normal_(generator=generator)
        if parameter.ndim >= 2:
            parameter.mul_(1.0 if locate(name).side == "before" else parameter.shape[-1] ** -0.5)
        else:
            parameter.mul_(0.1).add_(0.0 if name.endswith("bias") else 1.0)


def logits_of(model: nn.Module) -> Tensor:
    """Return a model's logits of a few tokens."""
    logits: Tensor = model(torch.arange(3, 3 + _N_TOKENS)[None], use_cache=False).logits
    return logits


def _distance(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).abs().max())
