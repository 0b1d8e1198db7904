"""What an elementwise merge is made of: the part that is compiled, and the numbers that it is called with.

Named tuples, as a model may have tens of thousands of tensors, and dataclasses take several times as long to make.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Survivors = Literal["all", "largest", "random", "ranked", "band", "chosen"]
Consensus = Literal["sum", "sign", "largest", "balance", "sce"]
Divisor = Literal["none", "number", "weights", "agreeing"]


class Form(NamedTuple):
    """The choices of an elementwise merge, a kernel of its own for each combination."""

    n_parents: int  # how many parents are read besides the base
    dtype: torch.dtype  # what the result is rounded to
    of_deltas: bool = True  # whether task vectors are merged and added to the base, or the parents themselves
    # which elements of a task vector count: all, those above a `Trim`, random ones with one chance for all or one by
    # rank, those between two trims, or those of a mask
    survivors: Survivors = "all"
    # whether survivors are multiplied by a number, divided by their own chance (ranked), or left
    scaled: Literal["no", "by_chance", "by_number"] = "no"
    trimmed_again: bool = False  # whether random survivors must lie above a `Trim` as well, once they are scaled
    # how they are combined: the sum, the sum over the elected sign, the largest, SCE's sum; or the balance of both
    # signs alone, whose sign elects
    consensus: Consensus = "sum"
    # what the combination is divided by: nothing, a number, or the agreeing parents' weights or count
    divisor: Divisor = "none"
    signed: bool = False  # whether a weight is negative, so that agreeing weights may cancel
    zero_sign: Literal["plus", "minus", "drop"] = "plus"  # what is elected where votes sum to zero; drop gives zero
    unweighted: bool = False  # whether weights decide which is the largest, but do not scale it
    selects: bool = False  # whether only the elements above a `Trim` of the parents' variance count (sce)


class Part(NamedTuple):
    """One parent's numbers."""

    weight: float  # its share
    low: tuple[float, int] = (-1.0, -1)  # (magnitude, flat index of the last tie) of the `Trim` that it is kept by
    high: tuple[float, int] = (float("inf"), -1)  # likewise, of the `Trim` above which it is dropped (survivors: band)
    chance: tuple[float, float] = (0.0, 1.0)  # (slope, intercept) of the probability of being kept, over the rank
    scale: float = 1.0  # what survivors are multiplied by
    seed: int = 0  # of its random numbers
    # doubled, as uint16 (n,), or as int32 where that is too little. If survivors are chosen, the mask: 0 or 1, uint8
    # (n,). Else None
    ranks: Tensor | None = None


class Merge(NamedTuple):
    """An elementwise merge of one tensor: θ = θ₀ + gain·τ of task vectors, or θ = Σ wᵢθᵢ of the parents themselves."""

    form: Form  # its choices
    tensors: tuple[Tensor, ...]  # the parents, of one shape, in the dtype that they are stored in; none make zeros
    base: Tensor | None  # likewise; None unless task vectors are merged
    parts: tuple[Part, ...]  # one for each parent
    gain: float = 1.0  # what the merged task vector is multiplied by
    divisor: float = 1.0  # the number, for `Form.divisor`
    selection: tuple[float, int] = (-1.0, -1)  # the `Trim` of the variance, for `Form.selects`

    @property
    def device(self) -> torch.device:
        """Where it is carried out: where what it reads lies."""
        from torch import device

        read = self.base if self.base is not None else next(iter(self.tensors), None)
        return device("cpu") if read is None else read.device

    @property
    def is_weighted_sum(self) -> bool:
        """Whether the parents are added with the same factors everywhere in the tensor."""
        return self.form.survivors == "all" and self.form.consensus == "sum"

    @property
    def flat(self) -> Merge:
        """The same merge of flat tensors."""
        base = None if self.base is None else self.base.reshape(-1)
        return self._replace(tensors=tuple(tensor.reshape(-1) for tensor in self.tensors), base=base)

    def rounded_to(self, dtype: torch.dtype) -> Merge:
        """Return the same merge, rounded once to a dtype."""
        if self.form.dtype is dtype:
            return self
        # In place of two `_replace`, which take five times as long.
        return Merge(self.form._replace(dtype=dtype), *self[1:])
