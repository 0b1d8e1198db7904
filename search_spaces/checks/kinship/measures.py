"""How far parents are from their base and from each other, measured in one pass over their weights."""

from __future__ import annotations

import hashlib
import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import EllipsisType

import torch
from torch import Tensor

from search_spaces.checks.kinship.heads import LockDistances, lock_distances
from search_spaces.merging.materialise import all_finite
from search_spaces.parents.checkpoint import Checkpoint

CLASSES = ("attention", "mlp", "embedding", "other")
MOST_ENTRIES = 2**18  # that are compared of one tensor: whole rows, drawn by its name
MOST_MATRICES = 6  # whose task vectors' spectra are looked at
SQUARE = 384  # rows and columns of them at most
# Attention or MLPs nearer to the base than this are taken to be what they seem: a lock hides more.
SUSPICIOUS = 0.1


@dataclass(frozen=True)
class Kinship:
    """Sums over the compared entries of parents' tensors; theta_0 is the base, delta_i = theta_i - theta_0.

    Attributes:
        names: of the parents, the base left out.
        lengths: class of tensors -> (n,) |theta_0|^2, of what a parent has, too.
        products: class -> (n, n) inner products <delta_i, delta_j>.
        along: class -> (n,) inner products <delta_i, theta_0>.
        copies: parents whose tensors all equal the base's.
        locks: parent -> how its heads and neurons compare with the base's, where its weights are suspicious.
        edges: parent -> median over some matrices of the task vector's largest squared singular value, over that of
            white noise of the same length (its Marchenko-Pastur edge): near 1 where it is noise.
        not_finite: model, the base included -> its first tensor with NaN or infinity.
    """

    names: tuple[str, ...]
    lengths: Mapping[str, list[float]]
    products: Mapping[str, list[list[float]]]
    along: Mapping[str, list[float]]
    copies: tuple[str, ...] = ()
    locks: Mapping[str, LockDistances] = field(default_factory=dict)
    edges: Mapping[str, float] = field(default_factory=dict)
    not_finite: Mapping[str, str] = field(default_factory=dict)

    def distances(self, parent: str) -> dict[str, float]:
        """Return class -> |delta| / |theta_0|."""
        i = self.names.index(parent)
        return {
            kind: math.sqrt(self.products[kind][i][i] / lengths[i])
            for kind, lengths in self.lengths.items()
            if lengths[i] > 0.0 and math.isfinite(self.products[kind][i][i])
        }

    def alignments(self, parent: str) -> dict[str, float]:
        """Return class -> cosine of the parent's own weights and the base's."""
        i, found = self.names.index(parent), {}
        for kind in self.distances(parent):
            length, along, square = self.lengths[kind][i], self.along[kind][i], self.products[kind][i][i]
            own = length + 2.0 * along + square
            if own > 0.0:
                found[kind] = (length + along) / math.sqrt(length * own)
        return found

    def cosine(self, one: str, other: str) -> float:
        """Return the cosine of two task vectors; 0 where one of them has no length."""
        i, j = self.names.index(one), self.names.index(other)
        scale = math.sqrt(self._total[i][i] * self._total[j][j])
        return self._total[i][j] / scale if scale > 0.0 else 0.0

    def length_ratio(self, one: str, other: str) -> float:
        """Return how many times as long as another's one's task vector is."""
        i, j = self.names.index(one), self.names.index(other)
        return math.sqrt(self._total[i][i] / self._total[j][j]) if self._total[j][j] > 0.0 else math.inf

    @cached_property
    def _total(self) -> list[list[float]]:
        n = range(len(self.names))
        return [[sum(of_class[i][j] for of_class in self.products.values()) for j in n] for i in n]


def measure(checkpoints: Mapping[str, Checkpoint], base: str) -> Kinship:
    """Read every tensor once, look for NaN and infinity, and compare the parents' with the base's.

    Of a tensor with more than 2^18 entries some rows are compared; the memory that it takes is that of these entries of
    all parents, in float64. What the base does not have, or in another shape, is not compared.
    """
    donor, names = checkpoints[base], [name for name in checkpoints if name != base]
    sums = _Sums(len(names))
    bad: dict[str, str] = {}
    spectra: dict[str, list[float]] = {name: [] for name in names}
    matrices = _some_matrices(donor)
    for tensor in dict.fromkeys(t for checkpoint in checkpoints.values() for t in checkpoint.names):
        start = donor.tensor(tensor) if tensor in donor and donor.dtype(tensor).is_floating_point else None
        compared = start is not None and tensor not in donor.architecture.unused
        rows = ... if start is None else _drawn_rows(tensor, start)
        deltas: dict[int, Tensor] = {}
        for name, checkpoint in checkpoints.items():
            if tensor not in checkpoint:
                continue
            weight = checkpoint.tensor(tensor)  # one at a time: an adapter's is computed
            if name not in bad and not all_finite(weight):
                bad[name] = tensor
            if start is None or not compared or name == base or weight.shape != start.shape:
                continue
            deltas[names.index(name)] = (weight[rows].double() - start[rows].double()).flatten()
            if tensor in matrices:
                spectra[name].append(_edge(weight, start, tensor))
        if start is not None and deltas:
            sums.add(class_of(donor, tensor), start[rows].double().flatten(), deltas)
    found = Kinship(tuple(names), *sums.found, not_finite=bad)
    still = [name for name in names if not any(found.distances(name).values())]
    far = [name for name in names if name not in still and _is_suspicious(found.distances(name))]
    locks = {name: lock_distances(checkpoints[name], donor) for name in far}
    return Kinship(
        found.names,
        found.lengths,
        found.products,
        found.along,
        copies=tuple(name for name in still if _equal(checkpoints[name], donor)),
        locks={name: distances for name, distances in locks.items() if distances.pairs},
        edges={name: sorted(edges)[len(edges) // 2] for name, edges in spectra.items() if any(edges)},
        not_finite=bad,
    )


def class_of(checkpoint: Checkpoint, tensor: str) -> str:
    """Return which class of tensors a tensor belongs to."""
    if tensor in (checkpoint.embedding, checkpoint.head):
        return "embedding"
    module = checkpoint.architecture.locate(tensor).module
    return module if module in CLASSES else "other"


class _Sums:
    """Sums by class, as tensors come."""

    def __init__(self, n: int) -> None:
        self._n = n
        self._sums: dict[str, tuple[Tensor, Tensor, Tensor]] = {}

    def add(self, kind: str, weights: Tensor, deltas: Mapping[int, Tensor]) -> None:
        """Add a tensor's base weights, and the differences of the parents that have it, by their place."""
        zeros = (self._empty(self._n), self._empty(self._n, self._n), self._empty(self._n))
        lengths, products, along = self._sums.setdefault(kind, zeros)
        places, rows = torch.tensor(list(deltas)), torch.stack(list(deltas.values()))
        lengths[places] += weights @ weights
        products[places[:, None], places] += rows @ rows.T
        along[places] += rows @ weights

    @property
    def found(self) -> tuple[dict[str, list[float]], dict[str, list[list[float]]], dict[str, list[float]]]:
        """The lengths, products and inner products of a `Kinship`."""
        lengths, products, along = ({kind: s[part].tolist() for kind, s in self._sums.items()} for part in range(3))
        return lengths, products, along

    @staticmethod
    def _empty(*shape: int) -> Tensor:
        return torch.zeros(shape, dtype=torch.float64)


def _drawn_rows(name: str, tensor: Tensor) -> Tensor | EllipsisType:
    if tensor.numel() <= MOST_ENTRIES or tensor.ndim < 2:
        return ...  # a tensor without an axis has no slice
    n = max(1, MOST_ENTRIES // (tensor.numel() // tensor.shape[0]))
    return torch.randperm(tensor.shape[0], generator=_generator(name))[:n].sort().values


def _generator(name: str) -> torch.Generator:
    return torch.Generator().manual_seed(zlib.crc32(name.encode()))


def _some_matrices(donor: Checkpoint) -> set[str]:
    """Return names of matrices in layers, from the first layer to the last."""
    inside = [n for n in donor.names if len(donor.shape(n)) == 2 and donor.architecture.locate(n).layer is not None]
    wide = [n for n in inside if min(donor.shape(n)) >= 16]
    step = max(1, len(wide) // MOST_MATRICES)
    return set(wide[::step][:MOST_MATRICES])


def _edge(weight: Tensor, base: Tensor, name: str) -> float:
    """Return the largest squared singular value of a part of a task vector, over that of noise; 0.0 of none."""
    generator = _generator(name)
    rows, columns = (torch.randperm(size, generator=generator)[:SQUARE] for size in weight.shape)
    delta = weight[rows][:, columns].float() - base[rows][:, columns].float()
    square = float(delta.square().sum())
    if not math.isfinite(square) or square == 0.0:
        return 0.0
    m, n = delta.shape
    noise = square / (m * n) * (math.sqrt(m) + math.sqrt(n)) ** 2
    return float(torch.linalg.matrix_norm(delta, ord=2)) ** 2 / noise


def _is_suspicious(distances: Mapping[str, float]) -> bool:
    return max((distances.get(kind, 0.0) for kind in ("attention", "mlp")), default=0.0) > SUSPICIOUS


def _equal(one: Checkpoint, base: Checkpoint) -> bool:
    """Return whether every tensor of the base is there with the same values, whatever the dtype."""
    return all(
        name in one and one.shape(name) == base.shape(name) and bool((one.tensor(name) == base.tensor(name)).all())
        for name in base.names
    )


def key_of(checkpoints: Mapping[str, Checkpoint], digests: Mapping[str, str], options: object) -> str:
    """Return 64 hex digits that name everything that `measure` follows from."""
    said = [MOST_ENTRIES, MOST_MATRICES, SQUARE, repr(options), [(name, digests[name]) for name in checkpoints]]
    return hashlib.sha256(repr(said).encode()).hexdigest()
