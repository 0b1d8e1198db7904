"""SCE's statistics: which elements the parents differ in most, and how much each of them changes there."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from search_spaces.operators import sparsify
from search_spaces.operators.operator import Trim
from search_spaces.operators.sce import energy, n_selected, shares_of, squares, unit, variance
from search_spaces.operators.threshold import Magnitudes
from search_spaces.weights.kernels.form import Form, Merge, Part
from search_spaces.weights.trims import DENSITY_STEPS

if TYPE_CHECKING:
    from search_spaces.weights.kernels.task_vectors import TaskVectors

_AT_ONCE = 1 << 18


def sce_merge(vectors: TaskVectors, dtype: torch.dtype) -> Merge:
    """Return `operators.sce` as an elementwise merge, λ aside."""
    n_parents = len(vectors.tensors)
    if n_parents == 1:
        return Merge(Form(n_parents=1, dtype=dtype), vectors.tensors, vectors.base, (Part(1.0),))
    selection, energies = _selected(vectors, float(vectors.parameters["select_topk"]))
    selects = selection is not None and vectors.parameters["select"] == "elements"
    form = Form(n_parents=n_parents, dtype=dtype, consensus="sce", selects=selects)
    parts = tuple(Part(share) for share in shares_of(energies))
    return Merge(form, vectors.tensors, vectors.base, parts, selection=selection or (-1.0, -1))


def _selected(vectors: TaskVectors, share: float) -> tuple[Trim | None, tuple[float, ...]]:
    """Return what selects a share of the elements that vary (None = all), and each parent's energy in them."""
    key, known = _key(vectors), vectors.statistics
    if share == 1.0:
        return None, known.numbers(("energies", *key), lambda: _energies(vectors))
    spread: Magnitudes = partial(_variance, vectors)
    if not known.repeated:
        spread = _computed(spread, vectors.n).__getitem__
    n_varying = int(known.numbers(("varying", *key), lambda: (float(_n_varying(spread, vectors.n)),))[0])

    def steps(_: int) -> list[int]:
        return [n_selected(n_varying, i / DENSITY_STEPS) for i in range(1, DENSITY_STEPS + 1)]

    def trim(k: int) -> Trim:
        return known.trim(("variance", *key), spread, k, vectors.n, steps=steps)

    selection, step = trim(n_selected(n_varying, share)), share * DENSITY_STEPS
    if not known.repeated or step != int(step):
        return selection, known.numbers(("energies", *key, share), lambda: _energies(vectors, selection, spread))
    table = known.numbers(("energies of steps", *key), lambda: _energies_of([trim(k) for k in steps(0)], vectors))
    first = (int(step) - 1) * len(vectors.tensors)
    return selection, table[first : first + len(vectors.tensors)]


def _key(vectors: TaskVectors) -> list[tuple[str, ...]]:
    return [vectors.key(i) for i in range(len(vectors.tensors))]


def _variance(vectors: TaskVectors, part: slice) -> Tensor:
    origin, parents = vectors.base[part], [tensor[part] for tensor in vectors.tensors]
    spread = torch.empty(origin.numel())
    for here in _blocks(origin.numel()):
        own = origin[here].to(torch.float32)
        spread[here] = variance([parent[here].to(torch.float32) - own for parent in parents])
    return spread


def _computed(spread: Magnitudes, n: int) -> Tensor:
    """Return all of a variance."""
    whole = torch.empty(n)

    for part in _blocks(n):
        whole[part] = spread(part)
    return whole


def _n_varying(spread: Magnitudes, n: int) -> int:
    return sum(int(np.count_nonzero(spread(part).numpy())) for part in _blocks(n))


def _energies(
    vectors: TaskVectors, selection: Trim | None = None, spread: Magnitudes | None = None
) -> tuple[float, ...]:
    """Return each parent's energy, in the elements whose variance (`spread`) is selected if there is a selection."""
    units = _units(vectors)

    def energies(part: slice) -> list[float]:
        kept = None if selection is None or spread is None else _kept(spread(part), selection, part.start)
        origin = vectors.base[part].to(torch.float32)
        deltas = (tensor[part].to(torch.float32) - origin for tensor in vectors.tensors)
        return [energy(d if kept is None else d.mul_(kept), u) for d, u in zip(deltas, units, strict=True)]

    # Sums of whole numbers of units are exact: the order of the blocks changes nothing.
    return tuple(map(sum, zip(*map(energies, _blocks(vectors.n)), strict=True))) or (0.0,) * len(units)


def _kept(spread: Tensor, selection: Trim, start: int) -> Tensor:
    """Return 1 where an element of a part that begins at `start` is selected, else 0; may overwrite the variance."""
    if start <= selection.last < start + spread.numel():
        return sparsify.kept_mask(spread, Trim(selection.magnitude, selection.last - start)).to(torch.float32)
    return spread.gt_(selection.magnitude) if selection.last < start else spread.ge_(selection.magnitude)


def _energies_of(selections: list[Trim], vectors: TaskVectors) -> tuple[float, ...]:
    """Return the energies of nested selections, the smallest first, parent by parent within each."""
    units = _units(vectors)
    sums = np.zeros((len(selections) + 1, len(units)))
    for part in _blocks(vectors.n):
        first = _first_selection(_variance(vectors, part).numpy(), part.start, selections)
        origin = vectors.base[part].to(torch.float32)
        for i, tensor in enumerate(vectors.tensors):
            weights = squares(tensor[part].to(torch.float32) - origin, units[i]).numpy()
            sums[:, i] += np.bincount(first, weights=weights, minlength=len(sums))
    return tuple((sums[:-1].cumsum(axis=0) * np.array(units)).ravel().tolist())


def _first_selection(spread: np.ndarray, start: int, selections: list[Trim]) -> np.ndarray:
    """Return for each element the first of the nested selections that has it, or their number if none has."""
    thresholds = np.array([s.magnitude for s in selections] + [-np.inf], dtype=np.float32)
    lasts = np.array([s.last for s in selections] + [-1])
    first = np.searchsorted(-thresholds, -spread)
    tied = np.flatnonzero(thresholds[first] == spread)
    while len(tied):
        tied = tied[(thresholds[first[tied]] == spread[tied]) & (lasts[first[tied]] < tied + start)]
        first[tied] += 1
    return first


def _units(vectors: TaskVectors) -> list[float]:
    def largest() -> tuple[float, ...]:
        blocks = _blocks(vectors.n)
        magnitudes = [vectors.magnitudes(i) for i in range(len(vectors.tensors))]
        peaks = [[float(of(part).amax()) for of in magnitudes] for part in blocks]
        return tuple(map(max, zip(*peaks, strict=True))) or (0.0,) * len(magnitudes)

    return [unit(peak, vectors.n) for peak in vectors.statistics.numbers(("largest", *_key(vectors)), largest)]


def _blocks(n: int) -> list[slice]:
    return [slice(start, min(start + _AT_ONCE, n)) for start in range(0, n, _AT_ONCE)]
