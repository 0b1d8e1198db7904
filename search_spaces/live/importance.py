"""How much each half of a model's layers changes the hidden state: what changes it least is dropped first.

S = 1 - E cos(x, x + f(norm(x))), over all tokens of some prompts, x being what enters a half and f(norm(x)) what it
adds (He et al. 2024, "What Matters in Transformers? Not All Attention is Needed", arXiv 2406.15786, equation 4). One
pass for each prompt, in which every layer is run twice: what lies between its halves is the layer's output without its
MLP. Where attention and MLP stand beside each other, the MLP is taken for the later of the two.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from search_spaces.layers.halves import is_outlet
from search_spaces.layers.layer_behaviour import layers_of
from search_spaces.recipes.layer_path import HALVES, Half

if TYPE_CHECKING:
    from torch import Tensor, nn


def importances(model: nn.Module, prompts: Sequence[Sequence[int]]) -> list[dict[Half, float]]:
    """Return the importance of attention and MLP of every layer, in [0, 2].

    Args:
        model: live; its weights are left as they are.
        prompts: token ids of each, at least one prompt.
    """
    import torch

    layers = layers_of(model.eval())
    sums = torch.zeros(len(layers), len(HALVES), dtype=torch.float64)
    n_tokens = 0
    device = next(model.parameters()).device
    with contextlib.ExitStack() as hooks, torch.no_grad():
        for sums_of_layer, layer in zip(sums, layers, strict=True):
            hooks.enter_context(layer.register_forward_hook(_Measuring(sums_of_layer), with_kwargs=True))
        for ids in prompts:
            model(torch.tensor([list(ids)], device=device), use_cache=False)
            n_tokens += len(ids)
    return [{half: float(s) / n_tokens for half, s in zip(HALVES, row, strict=True)} for row in sums]


class _Measuring:
    """Adds up over tokens how far apart what enters and what leaves each half of a layer is."""

    def __init__(self, sums: Tensor) -> None:
        self._sums, self._is_again = sums, False

    def __call__(self, layer: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], output: Any) -> None:
        if self._is_again:
            return
        self._is_again = True
        with _without_mlp(layer):
            between = _hidden(layer(*args, **kwargs))
        self._is_again = False
        entered = args[0] if args else kwargs["hidden_states"]
        for half, (before, after) in enumerate(((entered, between), (between, _hidden(output)))):
            self._sums[half] += _apart(before, after)


@contextlib.contextmanager
def _without_mlp(layer: nn.Module) -> Iterator[None]:
    """Let a layer's MLP write nothing, by other parameters in place of its own, which others may share."""
    import torch
    from torch import nn

    changed = []
    for name, parameter in layer.named_parameters():
        if is_outlet(name, "mlp"):
            path, _, own = name.rpartition(".")
            owner = layer.get_submodule(path)
            changed.append((owner, own, parameter))
            owner._parameters[own] = nn.Parameter(torch.zeros_like(parameter), requires_grad=False)
    try:
        yield
    finally:
        for owner, own, parameter in changed:
            owner._parameters[own] = parameter


def _hidden(output: Any) -> Tensor:
    found: Tensor = output[0] if isinstance(output, tuple) else output
    return found


def _apart(before: Tensor, after: Tensor) -> float:
    import torch

    near = torch.nn.functional.cosine_similarity(before.float(), after.float(), dim=-1)
    return float((1.0 - near.double()).sum())
