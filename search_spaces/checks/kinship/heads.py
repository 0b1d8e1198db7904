"""Whether weights that look far from the base's compute the same: products of attention heads and MLP neurons.

MergeLock multiplies W_q by A and W_k by A^-T, W_v by B and W_o by B^-1, head by head: the model computes what it did,
and merges of it compute nothing. Rearrangements of heads and neurons do the same. W_q^T W_k and W_o W_v of a head and
w_down w_up of a neuron do not change by that, in whatever order heads and neurons stand. (With rotary positions only
rotations of pairs survive between q and k; what survives leaves W_q^T W_k as it is.) Fused projections, and names
that are not known, are not judged.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

import torch
from torch import Tensor

from search_spaces.parents.checkpoint import Checkpoint

MOST_LAYERS = 3
MOST_NEURONS = 256  # of a layer, whose counterparts are looked for among all of the base's
# The product of honest changes changes by about as much as the factors; of a lock's, by next to nothing.
SAME = 0.25
FAR = 0.1
_HEADS = ("num_attention_heads", "n_head", "n_heads", "num_heads", "encoder_attention_heads")
_NAMES = {"q": ("q_proj", "q"), "k": ("k_proj", "k"), "v": ("v_proj", "v"), "o": ("o_proj", "out_proj", "o")}
_MLP = (("up_proj", "down_proj"), ("w3", "w2"), ("fc1", "fc2"), ("wi_1", "wo"))


@dataclass(frozen=True)
class LockDistances:
    """How far two factors are from the base's, and how far their products are.

    Attributes:
        pairs: what is multiplied ("q and k", "v and o", "neurons") -> (relative distance of the factors, of the
            products to the nearest of the base's), medians over layers.
    """

    pairs: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def locked(self) -> tuple[str, ...]:
        """The pairs whose factors are far from the base's, while their products are near."""
        return tuple(
            name for name, (factors, products) in self.pairs.items() if factors > FAR and products < SAME * factors
        )


def lock_distances(parent: Checkpoint, base: Checkpoint) -> LockDistances:
    """Compare products of a few layers, from the first to the last; pairs that no layer has are left out."""
    found: dict[str, list[tuple[float, float]]] = {}
    for layer in _layers(base):
        for name, (left, right, heads, kv_heads) in layer.items():
            if not all(t in parent and parent.shape(t) == base.shape(t) for t in (left, right)):
                continue
            ours, theirs = (
                (_cut(c, left, heads, name != "q and k"), _cut(c, right, kv_heads, transposed=False))
                for c in (parent, base)
            )
            found.setdefault(name, []).append(_compared(ours, theirs))
    return LockDistances({name: _median(pairs) for name, pairs in found.items()})


def _median(pairs: list[tuple[float, float]]) -> tuple[float, float]:
    factors, products = zip(*pairs, strict=True)
    return sorted(factors)[len(factors) // 2], sorted(products)[len(products) // 2]


def _layers(base: Checkpoint) -> list[dict[str, tuple[str, str, int, int]]]:
    """Return some layers: pair -> (left factor, right factor, heads of the left, heads of the right)."""
    found: dict[str, dict[str, tuple[str, str, int, int]]] = {}
    for name in base.names:
        place = base.architecture.locate(name)
        module, _, last = name.removesuffix(".weight").rpartition(".")
        if place.layer is None or not name.endswith(".weight") or len(base.shape(name)) != 2:
            continue
        if last in _NAMES["q"]:
            found.setdefault(f"{place.stack} {place.layer}", {}).update(
                _attention(base, module, _n_heads(base, place.stack))
            )
        for up, down in _MLP:
            pair = f"{module}.{down}.weight"
            if last == up and pair in base and base.shape(pair) == base.shape(name)[::-1]:
                n = base.shape(name)[0]
                found.setdefault(f"{place.stack} {place.layer}", {})["neurons"] = (pair, name, n, n)
    layers = [pairs for pairs in found.values() if pairs]
    return layers[:: max(1, -(-len(layers) // MOST_LAYERS))]


def _attention(base: Checkpoint, module: str, heads: int | None) -> Iterator[tuple[str, tuple[str, str, int, int]]]:
    names = {
        role: next((t for last in lasts if (t := f"{module}.{last}.weight") in base), None)
        for role, lasts in _NAMES.items()
    }
    q, k, v, o = (names[role] for role in "qkvo")
    if not (heads and q and k and v and o) or base.shape(q)[0] % heads or len(base.shape(o)) != 2:
        return
    width = base.shape(q)[0] // heads
    if base.shape(k)[0] % width == 0 and heads % (base.shape(k)[0] // width) == 0:
        yield "q and k", (q, k, heads, base.shape(k)[0] // width)
    if base.shape(o)[1] % heads == 0 and base.shape(v)[0] % (base.shape(o)[1] // heads) == 0:
        kv_heads = base.shape(v)[0] // (base.shape(o)[1] // heads)
        if heads % kv_heads == 0:
            yield "v and o", (o, v, heads, kv_heads)


def _n_heads(base: Checkpoint, stack: str) -> int | None:
    level = next((s.level for s in base.architecture.stacks if s.name == stack or not stack), ())
    config: Any = reduce(lambda level, key: level.get(key) or {}, level, base.config)
    return next((config[key] for key in _HEADS if isinstance(config.get(key), int) and config[key] > 0), None)


def _cut(checkpoint: Checkpoint, name: str, heads: int, transposed: bool) -> Tensor:
    """Return (heads, rows of a head, width) of a projection that has its heads in its rows, or in its columns."""
    weight = checkpoint.tensor(name).float()
    return (weight.T if transposed else weight).reshape(heads, -1, weight.shape[0 if transposed else 1])


def _compared(ours: tuple[Tensor, Tensor], theirs: tuple[Tensor, Tensor]) -> tuple[float, float]:
    """Return how far factors are from theirs, and (median over heads) products L_h^T R_h from the nearest of theirs."""
    factors = math.sqrt(
        sum((float((a - b).norm()) / max(float(b.norm()), 1e-12)) ** 2 for a, b in zip(ours, theirs, strict=True))
    )
    (left, right), (left0, right0) = (_paired(*pair) for pair in (ours, theirs))
    step = -(-len(left) // MOST_NEURONS)
    left, right = left[::step], right[::step]
    own = (_grams(left, left) * _grams(right, right)).sum((1, 2))
    base = (_grams(left0, left0) * _grams(right0, right0)).sum((1, 2))
    across = torch.stack(
        [(left_h @ left0.mT * (right_h @ right0.mT)).sum((1, 2)) for left_h, right_h in zip(left, right, strict=True)]
    )
    squares = (own[:, None] + base[None, :] - 2.0 * across).clamp_min(0.0) / base.clamp_min(1e-24)[None, :]
    return factors, float(squares.min(dim=1).values.sqrt().median())


def _paired(left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
    """Return both with as many heads: several of the left share one of the right."""
    return left, right.repeat_interleave(len(left) // len(right), dim=0)


def _grams(left: Tensor, right: Tensor) -> Tensor:
    return left @ right.mT
