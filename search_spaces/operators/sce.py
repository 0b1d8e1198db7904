"""SCE: select the elements in which the parents differ, calculate their weights, erase the minority's sign."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from functools import lru_cache, partial

import torch
from torch import Tensor

from search_spaces.operators.kernels.counting import Magnitudes, device_of
from search_spaces.operators.kernels.elementwise import variance
from search_spaces.operators.kernels.form import Form, Merge, Part
from search_spaces.operators.kernels.sparsify import DENSITY_STEPS
from search_spaces.operators.kernels.threshold import Trim, below
from search_spaces.operators.operator import Operands
from search_spaces.operators.survivors import TaskVectors

_AT_ONCE = 1 << 18

# Elements whose variance is computed once for several passes: a quarter of a gigabyte.
_MOST_COMPUTED = 1 << 26


def sce(operands: Operands) -> Merge:
    """Return τ = Σ ηᵢmᵢδᵢ / Σ ηᵢmᵢ over the selected elements, mᵢ = [sign(δᵢ) = sign(Σδⱼ)] (a zero sum elects plus).

    Selected are the ⌊n⁺·select_topk⌋ elements of largest variance over the parents, n⁺ of them having any. ηᵢ is the
    share of parent i in the parents' mean squares over the selected elements; uniform if all are zero. mergekit makes
    them uniform whenever Σ mean(δᵢ²) < 1e-6, which fine-tunes often are. With select: weights the selection counts for
    ηᵢ alone, as in the authors' code. One parent alone has no variance and comes back whole.

    Reference: Wan et al. 2024, "FuseChat" (arXiv 2408.07990), section 3.3.
    """
    vectors = TaskVectors(operands)
    n_parents = len(vectors.tensors)
    if n_parents == 1:
        return Merge(Form(n_parents=1, dtype=torch.float32), vectors.tensors, vectors.base, (Part(1.0),))
    selection, energies = _selected(vectors, operands.number("select_topk"))
    selects = selection is not None and operands.parameters["select"] == "elements"
    form = Form(n_parents=n_parents, dtype=torch.float32, consensus="sce", selects=selects)
    parts = tuple(Part(share) for share in shares_of(energies))
    return Merge(form, vectors.tensors, vectors.base, parts, selection=selection or (-1.0, -1))


def _selected(vectors: TaskVectors, share: float) -> tuple[Trim | None, tuple[float, ...]]:
    """Return what selects a share of the elements that vary (None = all), and each parent's energy in them."""
    key, known = _key(vectors), vectors.memory
    if share == 1.0:
        return None, known.numbers(("energies", *key), lambda: _energies(vectors), kept=True)
    step = share * DENSITY_STEPS
    tabled = step == int(step) and known.worth_tables(("energies", *key), share)
    spread: Magnitudes = partial(_variance, vectors)
    if not tabled and vectors.n <= _MOST_COMPUTED:  # several passes over it
        spread = _remembered(lambda: _computed(partial(_variance, vectors), vectors.n))
    counted = known.numbers(("varying", *key), lambda: (float(_n_varying(spread, vectors.n)),), kept=True)
    n_varying = int(counted[0])

    def steps(_: int) -> list[int]:
        return [n_selected(n_varying, i / DENSITY_STEPS) for i in range(1, DENSITY_STEPS + 1)]

    def trim(k: int) -> Trim:
        return known.trim(("variance", *key), spread, k, vectors.n, steps=steps)

    selection = trim(n_selected(n_varying, share))
    if not tabled:
        single = ("energies", *key, share)
        return selection, known.numbers(single, lambda: _energies(vectors, selection, spread), kept=True)
    every = ("energies of steps", *key)
    table = known.numbers(every, lambda: _energies_of_steps([trim(k) for k in steps(0)], vectors), kept=True)
    first = (int(step) - 1) * len(vectors.tensors)
    return selection, table[first : first + len(vectors.tensors)]


def _remembered(compute: Callable[[], Tensor]) -> Magnitudes:
    """Return what reads parts of a tensor that is computed once, when the first part is read."""
    whole = lru_cache(maxsize=1)(compute)
    return lambda part: whole()[part]


def _key(vectors: TaskVectors) -> tuple[Hashable, ...]:
    return tuple(vectors.key(i) for i in range(len(vectors.tensors)))


def _variance(vectors: TaskVectors, part: slice) -> Tensor:
    origin, parents = vectors.flat_base[part], [tensor[part] for tensor in vectors.flat]
    spread = torch.empty(origin.numel(), device=origin.device)
    for here in _blocks(origin.numel()):
        own = origin[here].to(torch.float32)
        spread[here] = variance([parent[here].to(torch.float32) - own for parent in parents])
    return spread


def _computed(spread: Magnitudes, n: int) -> Tensor:
    whole = torch.empty(n, device=device_of(spread))
    for part in _blocks(n):
        whole[part] = spread(part)
    return whole


def _n_varying(spread: Magnitudes, n: int) -> int:
    return sum(int(torch.count_nonzero(spread(part))) for part in _blocks(n))


def _energies(
    vectors: TaskVectors, selection: Trim | None = None, spread: Magnitudes | None = None
) -> tuple[float, ...]:
    """Return each parent's energy, in the elements whose variance (`spread`) is selected if there is a selection."""
    units = _units(vectors)

    def energies(part: slice) -> list[float]:
        kept = None if selection is None or spread is None else _kept(spread(part), selection, part.start)
        origin = vectors.flat_base[part].to(torch.float32)
        deltas = (tensor[part].to(torch.float32) - origin for tensor in vectors.flat)
        return [energy(d if kept is None else d.mul_(kept), u) for d, u in zip(deltas, units, strict=True)]

    # Sums of whole numbers of units are exact: the order of the blocks changes nothing.
    return tuple(map(sum, zip(*map(energies, _blocks(vectors.n)), strict=True))) or (0.0,) * len(units)


def _kept(spread: Tensor, selection: Trim, start: int) -> Tensor:
    """Return 1 where an element of a part that begins at `start` is selected, else 0; overwrites the variance."""
    n_ties = min(max(selection.last + 1 - start, 0), spread.numel())
    spread[:n_ties].gt_(below(selection.magnitude))  # up to there what equals the threshold is selected too
    spread[n_ties:].gt_(selection.magnitude)
    return spread


def _energies_of_steps(selections: list[Trim], vectors: TaskVectors) -> tuple[float, ...]:
    """Return the energies of nested selections, the smallest first, parent by parent within each."""
    units = _units(vectors)
    sums = torch.zeros(len(selections) + 1, len(units), dtype=torch.float64, device=vectors.base.device)
    for part in _blocks(vectors.n):
        first = _first_selection(_variance(vectors, part), part.start, selections)
        origin = vectors.flat_base[part].to(torch.float32)
        # sums[j, i]: Σ δᵢ² over what selection j adds to those before it, in units; the last row is never selected.
        for i, tensor in enumerate(vectors.flat):
            weights = squares(tensor[part].to(torch.float32) - origin, units[i])
            sums[:, i] += torch.bincount(first, weights=weights, minlength=len(sums))
    return tuple(
        (sums[:-1].cumsum(dim=0) * torch.tensor(units, dtype=torch.float64).to(sums.device)).flatten().cpu().tolist()
    )


def _first_selection(spread: Tensor, start: int, selections: list[Trim]) -> Tensor:
    """Return for each element the first of the nested selections that has it, or their number if none has."""
    thresholds = torch.tensor([s.magnitude for s in selections] + [-math.inf]).to(spread.device)
    lasts = torch.tensor([s.last for s in selections] + [-1]).to(spread.device)
    # thresholds: (n_selections + 1,), descending; first: (n,). What equals a threshold is selected up to its last tie.
    first = torch.searchsorted(-thresholds, -spread)
    tied = (thresholds[first] == spread).nonzero().squeeze(1)
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

    return [unit(peak, vectors.n) for peak in vectors.memory.numbers(("largest", *_key(vectors)), largest, kept=True)]


def _blocks(n: int) -> list[slice]:
    return [slice(start, min(start + _AT_ONCE, n)) for start in range(0, n, _AT_ONCE)]


def n_selected(n_varying: int, share: float) -> int:
    """Return how many elements are selected of those that have any variance."""
    return int(n_varying * share + 1e-9)


def shares_of(energies: Sequence[float]) -> list[float]:
    """Return ηᵢ from the parents' sums of squares."""
    total = sum(energies)
    return [e / total if total > 0.0 else 1.0 / len(energies) for e in energies]


def unit(largest: float, n: int) -> float:
    """Return a power of two such that n squares of up to `largest` are at most 2^52 of it: their sums are exact."""
    return math.ldexp(1.0, math.frexp(largest * largest * n)[1] - 52) if 0.0 < largest < math.inf else 1.0


def squares(delta: Tensor, unit: float) -> Tensor:
    """Return δ² as whole numbers of units, a power of two each, float64."""
    return delta.to(torch.float64).square_().mul_(1.0 / unit).round_()


def energy(delta: Tensor, unit: float) -> float:
    """Return Σ δ², each square rounded to a multiple of the unit: the same in whatever order it is summed."""
    return unit * float(squares(delta, unit).sum())
