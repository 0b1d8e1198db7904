"""What an elementwise merge is made of: the part that is compiled, and the numbers that it is called with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Survivors = Literal["all", "largest", "random", "ranked", "band"]
Consensus = Literal["sum", "sign", "largest", "sce"]
Divisor = Literal["none", "number", "weights", "agreeing"]


@dataclass(frozen=True)
class Form:
    """The choices of an elementwise merge, a kernel of its own for each combination.

    Attributes:
        n_parents: how many parents are read besides the base.
        of_deltas: whether task vectors are merged and added to the base, or the parents themselves.
        survivors: which elements of a task vector count: all, those above a `Trim`, random ones with one chance for
            all or one by rank, or those between two trims.
        scaled: whether survivors are multiplied by a number, divided by their own chance (ranked), or left.
        consensus: how they are combined; see `operators.agreement` and `operators.sce`.
        divisor: what the combination is divided by: nothing, a number, or the agreeing parents' weights or count.
        signed: whether a weight is negative, so that agreeing weights may cancel.
        drops_ties: whether votes that sum to zero give zero.
        selects: whether only the elements above a `Trim` of the parents' variance count (sce).
        dtype: what the result is rounded to.
    """

    n_parents: int
    dtype: torch.dtype
    of_deltas: bool = True
    survivors: Survivors = "all"
    scaled: Literal["no", "by_chance", "by_number"] = "no"
    consensus: Consensus = "sum"
    divisor: Divisor = "none"
    signed: bool = False
    drops_ties: bool = False
    selects: bool = False


@dataclass(frozen=True)
class Part:
    """One parent's numbers.

    Attributes:
        weight: its share.
        low: (magnitude, flat index of the last tie) of the `Trim` that it is kept by.
        high: likewise, of the `Trim` above which it is dropped (survivors: band).
        chance: (slope, intercept) of the probability of being kept, over the rank.
        scale: what survivors are multiplied by.
        seed: of its random numbers.
        ranks: doubled, as uint16 (n,), or as int32 where that is too little; or as two bytes, uint8 (2, n), upper
            first, which compiled kernels read faster. None unless survivors are ranked.
    """

    weight: float
    low: tuple[float, int] = (-1.0, -1)
    high: tuple[float, int] = (float("inf"), -1)
    chance: tuple[float, float] = (0.0, 1.0)
    scale: float = 1.0
    seed: int = 0
    ranks: Tensor | None = None


@dataclass(frozen=True)
class Merge:
    """An elementwise merge of one tensor.

    Attributes:
        form: its choices.
        tensors: the parents, flat, in the dtype that they are stored in.
        base: likewise; None unless task vectors are merged.
        parts: one for each parent.
        gain: what the merged task vector is multiplied by.
        divisor: the number, for `Form.divisor`.
        selection: the `Trim` of the variance, for `Form.selects`.
    """

    form: Form
    tensors: tuple[Tensor, ...]
    base: Tensor | None
    parts: tuple[Part, ...]
    gain: float = 1.0
    divisor: float = 1.0
    selection: tuple[float, int] = (-1.0, -1)
