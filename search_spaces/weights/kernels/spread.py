"""SCE's statistics: which elements the parents differ in most, and how much each of them changes there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from search_spaces.operators import sparsify
from search_spaces.operators.operator import Trim
from search_spaces.operators.sce import energy, n_selected, shares_of, variance
from search_spaces.weights.kernels.form import Form, Merge, Part
from search_spaces.weights.trims import DENSITY_STEPS

if TYPE_CHECKING:
    from search_spaces.weights.kernels.task_vectors import TaskVectors

_AT_ONCE = 1 << 20


def sce_merge(vectors: TaskVectors, dtype: torch.dtype) -> Merge:
    """Return `operators.sce` as an elementwise merge, λ aside."""
    n_parents = len(vectors.tensors)
    if n_parents == 1:
        return Merge(Form(n_parents=1, dtype=dtype), vectors.tensors, vectors.base, (Part(1.0),))
    share = float(vectors.parameters["select_topk"])
    selection = None if share == 1.0 else _selection(vectors, share)
    key = ("energies", *_key(vectors), selection)
    shares = shares_of(vectors.statistics.numbers(key, lambda: _energies(vectors, selection)))
    selects = selection is not None and vectors.parameters["select"] == "elements"
    form = Form(n_parents=n_parents, dtype=dtype, consensus="sce", selects=selects)
    parts = tuple(Part(weight) for weight in shares)
    return Merge(form, vectors.tensors, vectors.base, parts, selection=selection or (-1.0, -1))


def _selection(vectors: TaskVectors, share: float) -> Trim:
    def varying() -> tuple[float, ...]:
        return (float(torch.count_nonzero(_variance(vectors))),)

    def steps(n: int) -> list[int]:
        del n
        return [n_selected(n_varying, i / DENSITY_STEPS) for i in range(1, DENSITY_STEPS + 1)]

    key = ("variance", *_key(vectors))
    n_varying = int(vectors.statistics.numbers(key, varying)[0])
    k = n_selected(n_varying, share)
    return vectors.statistics.trim(key, lambda: _variance(vectors), k, vectors.n, steps)


def _key(vectors: TaskVectors) -> list[tuple[str, ...]]:
    return [vectors.key(i) for i in range(len(vectors.tensors))]


def _variance(vectors: TaskVectors) -> Tensor:
    spread = torch.empty(vectors.n)
    for start in range(0, vectors.n, _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        origin = vectors.base[part].to(torch.float32)
        spread[part] = variance([tensor[part].to(torch.float32) - origin for tensor in vectors.tensors])
    return spread


def _energies(vectors: TaskVectors, selection: Trim | None) -> tuple[float, ...]:
    kept = None if selection is None else sparsify.kept_mask(_variance(vectors), selection)
    deltas = (vectors.delta(i) for i in range(len(vectors.tensors)))
    return tuple(energy(delta if kept is None else delta.mul_(kept)) for delta in deltas)
