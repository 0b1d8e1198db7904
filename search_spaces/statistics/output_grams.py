"""Second moments of the gradients at layers' outputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from search_spaces.architecture.parts import Part
from search_spaces.statistics.gram_sum import GramSum
from search_spaces.statistics.layer_parameters import expert_index, layer_parameters, split_experts
from search_spaces.statistics.products import Product, WeightProducts

_Key = tuple[str, int]  # a parameter, and which of its matrices


class OutputGrams:
    """Sums Σ h hᵀ of the gradients h at the outputs of a model's layers, while backward passes run."""

    def __init__(self, model: nn.Module, weights: Mapping[str, Sequence[Part]]) -> None:
        """Begin with nothing; see `gradients.collect_gradients`."""
        self._parameters = {n: p for n, p in layer_parameters(model).items() if n in weights}
        self._parts = {n: weights[n] for n in self._parameters}
        self._by_expert = split_experts(model, self._parts)
        self._sums: dict[_Key, GramSum] = {}
        self._input_first: set[str] = set()
        self._stacks: dict[str, int] = {}  # of parameters whose matrices are stacked in the checkpoint's tensor

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Sum what backward passes bring of the products that are made meanwhile."""
        with WeightProducts(self._parameters, self._see):
            yield

    def means(self, n_sequences: int) -> tuple[dict[str, Tensor], dict[str, str]]:
        """Return the sums divided by a number of sequences; and checkpoint's tensor -> which of them is its."""
        tensors: dict[str, Tensor] = {}
        for weight, parts in self._parts.items():
            for part in parts:
                sums = [self._sums.get(place) for place in self._places(weight, part)]
                seen = next((one for one in sums if one is not None), None)
                if seen is not None:
                    rows = _outputs_of(part, self._parameters[weight], seen.n, weight in self._input_first)
                    empty = torch.zeros(seen.n, seen.n)
                    means = [empty if one is None else one.mean(n_sequences) for one in sums]
                    stack = torch.stack([mean[rows][:, rows] for mean in means])
                    tensors[part.name] = stack if weight in self._stacks else stack[0]
        return tensors, {name: name for name in tensors}

    def _places(self, weight: str, part: Part) -> list[_Key]:
        if weight in self._by_expert:
            return [(weight, expert_index(part, self._parameters[weight]))]
        n_stacked = self._stacks.get(weight)
        return [(weight, 0)] if n_stacked is None else [(weight, e) for e in range(n_stacked)]

    def _see(self, product: Product) -> None:
        if not product.output.requires_grad:
            return
        weight, expert = product.weight, product.expert
        n_stacked, is_convolution = product.n_stacked or 1, product.window is not None
        if weight not in self._by_expert and (expert is not None or product.n_stacked):
            self._stacks[weight] = n_stacked if expert is None else len(self._parameters[weight])
        if product.input_first:
            self._input_first.add(weight)

        def add(gradient: Tensor) -> None:
            for place, rows in enumerate(_rows(gradient, n_stacked, is_convolution), start=expert or 0):
                sums = self._sums.setdefault((weight, place), GramSum(rows.shape[1], rows.device))
                sums.add(rows, torch.ones(len(rows), device=rows.device))

        product.output.register_hook(add)  # type: ignore[no-untyped-call]


def _rows(output: Tensor, n_stacked: int, is_convolution: bool) -> Tensor:
    """Return what came out of products as rows, (n_stacked, R, o)."""
    if is_convolution:  # (B, g·o, *spatial)
        rows = output.flatten(2).movedim(1, 2).flatten(0, 1)  # (R, g·o)
        return rows.view(len(rows), n_stacked, -1).transpose(0, 1)
    return output.reshape(n_stacked, -1, output.shape[-1])


def _outputs_of(part: Part, parameter: Tensor, n_outputs: int, input_first: bool) -> Tensor:
    """Return which of a matrix's outputs a checkpoint's tensor holds."""
    n = part.shape[0] if parameter.dim() > 3 else part.shape[-1 if input_first else -2]
    if parameter.dim() > 3 or n == n_outputs:
        return torch.arange(n_outputs)
    step = 1 if input_first else parameter.shape[-1]  # elements from one output to the next
    first = part.offset % (parameter.shape[-1] * parameter.shape[-2]) // step
    return first + part.strides[-1 if input_first else -2] // step * torch.arange(n)
