"""Weights that sum to 1, as one coordinate fewer than there are parents: soups without a flat direction.

K free weights that are divided by their sum make the same model along a whole ray, and a search drifts along it. Here
weights differ from the uniform soup by Bz, z in R^(K - 1), where B's columns are orthonormal and sum to zero (all but
the last column of the Householder reflection that takes -e_K to 1/√K): every direction away from the uniform soup is as
long as every other, and zᵢ raises parent i at the expense of the others, the last one most.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from search_spaces.errors import SpaceError
from search_spaces.operators.operator import Operator
from search_spaces.operators.parameters import Bounds, Key
from search_spaces.recipes.rule import Parameter

Form = Literal["simplex", "affine"]
FORMS: tuple[Form, ...] = get_args(Form)
CONTRAST = "weight contrast"

# simplex: shares reach from a few parts in ten thousand to nearly all; affine: every parent alone is in reach.
REACH: Mapping[Form, float] = {"simplex": 4.0, "affine": 1.0}
SMALLEST_SHARE = 1e-12  # of weights that a simplex cannot have, such as those of a parent alone


@dataclass(frozen=True)
class SoupWeights:
    """Weights of some parents that sum to 1.

    simplex: softmax(Bz), all positive (Aitchison's log-ratio coordinates); affine: 1/K + Bz, of either sign.

    Attributes:
        form: simplex or affine.
        parents: at least two.
    """

    form: Form
    parents: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.form not in FORMS:
            raise SpaceError(f"weights: expected free or one of {list(FORMS)}, found {self.form!r}")
        if len(self.parents) < 2:
            raise SpaceError(f"weights: expected at least two parents to share out {self.form}, found {self.parents}")

    def check(self, operators: Sequence[Operator]) -> None:
        """Check that operators can take the weights."""
        for operator in operators:
            if "weight" not in operator.input_parameters:
                raise SpaceError(f"weights: expected operators that weight their parents, found {operator.name}")
            if self.form == "affine":
                operator.input_parameters["weight"].checked(-1.0, f"weights: affine with {operator.name}: weight")

    @property
    def keys(self) -> list[Key]:
        """What the coordinates z are called: one per parent except the last."""
        return [(CONTRAST, parent) for parent in self.parents[:-1]]

    def bounds(self, given: object) -> Bounds:
        """Return the bounds of every coordinate, as wide as a campaign's `genes.weight` says if it does."""
        if given is None:
            return -REACH[self.form], REACH[self.form]
        if not isinstance(given, Sequence) or len(given) != 2 or not given[0] == -given[1] < 0:
            expected = "bounds [-reach, reach] of the weights' coordinates, the uniform soup in their middle"
            raise SpaceError(f"genes.weight: with weights {self.form}, expected {expected}, found {given!r}")
        return float(given[0]), float(given[1])

    def weights(self, contrasts: Sequence[float]) -> list[float]:
        """Return (K,) weights of (K - 1,) coordinates, to twelve digits."""
        offsets = self._offsets(contrasts)
        if self.form == "affine":
            return [round(1.0 / len(offsets) + offset, 12) + 0.0 for offset in offsets]
        powers = [math.exp(offset - max(offsets)) for offset in offsets]
        total = math.fsum(powers)
        return [float(f"{power / total:.12g}") for power in powers]

    def contrasts(self, weights: Sequence[float]) -> list[float]:
        """Return the (K - 1,) coordinates of weights, divided by their sum; of those out of reach, the nearest."""
        total = math.fsum(weights) or 1.0
        shares = [weight / total for weight in weights]
        values = shares if self.form == "affine" else [math.log(max(share, SMALLEST_SHARE)) for share in shares]
        mean = math.fsum(values) / len(values)
        *offsets, last = (value - mean for value in values)
        s = self._s
        return [offset - last * s / (1.0 + s) for offset in offsets]

    def weighed(self, values: Mapping[Key, Parameter]) -> dict[Key, Parameter]:
        """Return parameters with the weights in place of the coordinates."""
        weights = self.weights([float(values[key]) for key in self.keys])
        rest = {key: value for key, value in values.items() if key[0] != CONTRAST}
        return {**rest, **{("weight", parent): w for parent, w in zip(self.parents, weights, strict=True)}}

    def contrasted(self, values: Mapping[Key, Parameter]) -> dict[Key, Parameter]:
        """Return parameters with the coordinates in place of the weights."""
        contrasts = self.contrasts([float(values["weight", parent]) for parent in self.parents])
        rest = {key: value for key, value in values.items() if key[0] != "weight"}
        return {**rest, **dict(zip(self.keys, contrasts, strict=True))}

    @property
    def _s(self) -> float:
        return 1.0 / math.sqrt(len(self.parents))

    def _offsets(self, contrasts: Sequence[float]) -> list[float]:
        """Return Bz; (K,), summing to 0. Sums are exactly rounded, so that every machine finds the same."""
        total, s = math.fsum(contrasts), self._s
        return [*(z - total * s * s / (1.0 + s) for z in contrasts), -s * total]
