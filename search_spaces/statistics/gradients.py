"""What a parent's loss says of its weights: diagonal Fisher information, output gradients, sensitivity of layers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor, nn

from search_spaces.architecture.parts import Part
from search_spaces.errors import SpaceError
from search_spaces.recipes.groups import locate
from search_spaces.statistics.layer_parameters import experts_one_by_one
from search_spaces.statistics.output_grams import OutputGrams

# Gives one scalar loss with its graph for each sequence, such as the mean negative log-likelihood of its tokens; each
# is used, and its graph freed, before the next is asked for. Called again, it gives the same again.
Losses = Callable[[nn.Module], Iterable[Tensor]]


@dataclass(frozen=True)
class Gradients:
    """Statistics of gradients, under the names of the checkpoint's tensors; float32, on the CPU.

    Attributes:
        fisher: E g², g one sequence's gradient, of the weights' shapes, divided by `norm`.
        norm: ||E g²||₂ over all weights.
        sensitivity: α of each tensor's layer, of shape (1,): Σ over the layer of E |θ·g|, divided by the root of the
            sum of squares over the layers; outside of them the mean of the layers'. Sens-Merging's first factor.
        output_grams: name -> E Σ_t h hᵀ, (o, o), h the gradient at a layer's output at one token, the sum over the
            tokens of a sequence, E over sequences; (E, o, o) of experts that the checkpoint stacks. With the Gram
            matrix G of its inputs, G ⊗ this is the Kronecker-factored Fisher information. Empty unless asked for.
        output_shares: checkpoint's tensor -> which of `output_grams`.
    """

    fisher: dict[str, Tensor]
    norm: float
    sensitivity: dict[str, Tensor]
    output_grams: dict[str, Tensor]
    output_shares: dict[str, str]


def collect_gradients(
    model: nn.Module, losses: Losses, *, weights: Mapping[str, Sequence[Part]], outputs: bool = False
) -> Gradients:
    """Return statistics of a model's gradients, one backward pass per sequence.

    Memory: the model again, for the sums; a gradient lives until it is added. With `outputs` also 4·o² bytes for each
    layer of o outputs.

    Args:
        model: in evaluation mode, of floating point parameters.
        losses: gives each sequence's loss, on the model's present parameters.
        weights: module's parameter -> the checkpoint's tensors in it: `architecture.checkpoint_parts`.
        outputs: whether output gradients are wanted too.

    Raises:
        SpaceError: there is no sequence, or a gradient is not finite.

    References: Matena & Raffel 2022 (arXiv 2111.09832), equation 7; Martens & Grosse 2015, "Optimizing Neural Networks
    with Kronecker-factored Approximate Curvature" (arXiv 1503.05671); Liu et al. 2025, "Sens-Merging" (2502.12420).
    """
    sums = _Sums({name: p for name, p in model.named_parameters() if name in weights})
    grams = OutputGrams(model, weights) if outputs else None
    n_sequences = 0
    with ExitStack() as stack:
        for name, parameter in sums.parameters.items():
            stack.callback(parameter.requires_grad_, parameter.requires_grad)
            parameter.requires_grad_(True)
            parameter.grad = None
            hook = parameter.register_post_accumulate_grad_hook(partial(sums.add, name))  # type: ignore[no-untyped-call]
            stack.callback(hook.remove)
        stack.enter_context(experts_one_by_one(model))
        if grams is not None:
            stack.enter_context(grams.watching())
        stack.enter_context(torch.enable_grad())
        for loss in losses(model):
            loss.backward()  # type: ignore[no-untyped-call]
            n_sequences += 1
    if n_sequences == 0:
        raise SpaceError("statistics: expected at least one sequence for the gradients, found none; give more prompts")
    fisher, norm = sums.fisher(n_sequences)
    found, shares = ({}, {}) if grams is None else grams.means(n_sequences)
    parts = {name: weights[name] for name in sums.parameters}
    return Gradients(_by_tensor(fisher, parts), norm, _sensitivity(sums, parts), found, shares)


@dataclass
class _Sums:
    parameters: dict[str, Tensor]
    squares: dict[str, Tensor] = field(default_factory=dict)  # Σ g², float32
    products: dict[str, Tensor] = field(default_factory=dict)  # Σ |θ·g|, of the parameter's shape, float32

    @torch.no_grad()
    def add(self, name: str, parameter: Tensor) -> None:
        """Add a gradient, and free it."""
        assert parameter.grad is not None
        gradient = parameter.grad.float()
        parameter.grad = None
        if name not in self.squares:
            self.squares[name] = torch.zeros_like(gradient)
            self.products[name] = torch.zeros((), dtype=torch.float64)
        self.squares[name].addcmul_(gradient, gradient)
        self.products[name] += (gradient * parameter).abs().sum(dtype=torch.float64).cpu()

    def fisher(self, n_sequences: int) -> tuple[dict[str, Tensor], float]:
        """Return E g² divided by its norm, by parameter, zeros where there was no gradient; and the norm."""
        total = sum(float(square.square().sum(dtype=torch.float64)) for square in self.squares.values())
        norm = total**0.5 / n_sequences
        if not 0.0 < norm < float("inf"):
            raise SpaceError(f"statistics: expected finite gradients that are not all 0, found a norm of {norm}")
        found = {n: s.div_(n_sequences * norm).cpu() for n, s in self.squares.items()}
        return {n: found[n] if n in found else torch.zeros(p.shape) for n, p in self.parameters.items()}, norm


def _by_tensor(values: Mapping[str, Tensor], parts: Mapping[str, Sequence[Part]]) -> dict[str, Tensor]:
    return {part.name: part.of(value) for name, value in values.items() for part in parts[name]}


def _sensitivity(sums: _Sums, parts: Mapping[str, Sequence[Part]]) -> dict[str, Tensor]:
    layers: dict[int, float] = {}
    for name, product in sums.products.items():
        layer = locate(name).layer
        if layer is not None:
            layers[layer] = layers.get(layer, 0.0) + float(product)
    norm = sum(value**2 for value in layers.values()) ** 0.5
    alphas = {layer: value / norm if norm else 0.0 for layer, value in layers.items()}
    mean = sum(alphas.values()) / len(alphas) if alphas else 1.0
    found: dict[str, Tensor] = {}
    for name in sums.parameters:
        layer = locate(name).layer
        alpha = mean if layer is None else alphas.get(layer, mean)
        found |= {part.name: torch.tensor([alpha]) for part in parts[name]}
    return found
