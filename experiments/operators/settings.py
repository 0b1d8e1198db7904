"""The rows of the table: operators, what they take where they have no default, and what is tuned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import evomerge as em
from experiments.operators.families import BASE, Family
from search_spaces import OPERATORS, Groups, Operator, WeightSpace

# Parameters without a default. A weight is 1 where the operator divides by their sum; where it adds task vectors up it
# is .4, which Yadav et al. 2023 (section 4) give to task arithmetic where there is nothing to validate on. mwa's metric
# is the same for all, adarank's share is that of the second variant of AdaRank's code.
CUSTOMARY: Mapping[str, float] = {"t": 0.5, "alpha": 0.5, "metric": 1.0, "rank_share": 0.16}
SUMMED_WEIGHT, MEAN_WEIGHT = 0.4, 1.0
# What is tuned of operators that a campaign searches nothing of.
TUNED: Mapping[str, Sequence[str]] = {
    "passthrough": ("scale",),
    "wudi": ("cut", "rank_share", "lambda"),
    "optmerge": ("cut", "rank_share", "lambda"),
}
NEARSWAP_T = 1e-3  # between the ends of its gene; typical changes of fine-tuning


@dataclass(frozen=True)
class Setting:
    """One row.

    Attributes:
        operator: its name in the registry.
        values: parameters that are not the operator's own defaults, each parent's the same.
        genes: what is tuned, with bounds; None: the operator's own genes.
        of: the claim that it is there for; empty for the operators themselves.
    """

    name: str
    operator: str
    values: Mapping[str, Any] = field(default_factory=dict)
    genes: Mapping[str, Any] | None = None
    of: str = ""

    @property
    def row(self) -> Operator:
        """What the registry knows of the operator."""
        return OPERATORS[self.operator]

    def experts(self, family: Family) -> tuple[str, ...]:
        """Return the experts that are merged: all, or the first ones where the operator takes fewer."""
        return family.experts[: self.row.n_inputs[1]]

    def default(self, family: Family, seed: int, statistics: Mapping[str, str]) -> em.Recipe:
        """Return the recipe with nothing tuned; statistics: parent -> digest, where the operator reads them."""
        own = {k: v for k, v in self._given.items() if k in self.row.parameters}
        each = {k: v for k, v in self._given.items() if k in self.row.input_parameters}
        inputs = tuple(em.Input(expert, each) for expert in self.experts(family))
        rule = em.Rule(self.operator, inputs, own)
        return em.Recipe(family.sources, BASE, (rule,), dtype=family.dtype, seed=seed, statistics=statistics)

    @property
    def tuned(self) -> dict[str, Any]:
        """Genes, one for each parent or one for the merge: those that a campaign searches, and a scale.

        λ comes in where no weight without a default is the scale already.
        """
        if self.genes is not None:
            return dict(self.genes)
        kinds = self.row.kinds
        if self.operator in TUNED:
            return {name: kinds[name].gene for name in TUNED[self.operator]}
        genes = {name: kind.gene for name, kind in kinds.items() if kind.searched}
        scaled = "weight" in kinds and kinds["weight"].default is None
        if "lambda" in kinds and not scaled:
            genes["lambda"] = kinds["lambda"].gene
        return genes

    def space(self, family: Family, seed: int, n_layers: int, statistics: Mapping[str, str]) -> WeightSpace:
        """Return what is tuned as a search space: one set of genes for the whole model."""
        frozen = {name: value for name, value in self._given.items() if name not in self.tuned}
        experts = self.experts(family)
        return WeightSpace(
            {name: source for name, source in family.sources.items() if name in (BASE, *experts)},
            BASE,
            n_layers=n_layers,
            operators=[self.operator],
            groups=Groups(1, ("all",)),
            genes={**frozen, **self.tuned},
            dtype=family.dtype,
            seed=seed,
            statistics=statistics,
        )

    @property
    def _given(self) -> dict[str, Any]:
        missing = [name for name, kind in self.row.kinds.items() if kind.default is None]
        return {name: self._customary(name) for name in missing} | dict(self.values)

    def _customary(self, name: str) -> float:
        if name == "weight":
            return MEAN_WEIGHT if self._divides else SUMMED_WEIGHT
        return NEARSWAP_T if self.operator == "nearswap" else CUSTOMARY[name]

    @property
    def _divides(self) -> bool:
        by = self.row.divides_by_weights
        flag = self.row.parameters.get(by)
        return by == "always" if flag is None else flag.default is True


def others_like(space: WeightSpace, n: int) -> list[em.Recipe]:
    """Return recipes of a space near its middle, whose merges share nothing but the parents."""
    shifts = np.random.default_rng(0).uniform(-0.1, 0.1, (n, space.dim))
    return [space.decode(space.start() + shift) for shift in shifts]


_ALIKE = {"weight": 1.0, "density": 0.3, "normalize": True}
_CALIBRATED = {"weight": (0.0, 1.5), "svc_alpha": (0.5, 2.0)}
CLAIMS: Sequence[Setting] = (
    Setting("ties, density .2", "ties", {"weight": 1.0, "density": 0.2}, {}, "TIES as published"),
    Setting("ties, density .3", "ties", _ALIKE, {"lambda": (0.3, 3.0)}, "DELLA > DARE > TIES"),
    Setting("dare_ties, density .3", "dare_ties", _ALIKE, {"lambda": (0.3, 3.0)}, "DELLA > DARE > TIES"),
    Setting("della, density .3", "della", _ALIKE, {"lambda": (0.3, 3.0)}, "DELLA > DARE > TIES"),
    Setting("task_arithmetic, one weight", "task_arithmetic", {}, {"weight": 1.0, "lambda": (0.1, 1.5)}, "LiNeS"),
    Setting(
        "task_arithmetic, LiNeS",
        "task_arithmetic",
        {},
        {"weight": 1.0, "lines_alpha": (0.0, 1.5), "lines_beta": (-0.5, 1.5)},
        "LiNeS",
    ),
    Setting("task_arithmetic, SVC", "task_arithmetic", {"svc_alpha": 1.0}, _CALIBRATED, "SVC"),
    Setting("ties, SVC", "ties", {"svc_alpha": 1.0}, {**_CALIBRATED, "density": (0.2, 1.0)}, "SVC"),
    Setting(
        "task_arithmetic, CART",
        "task_arithmetic",
        {"weight": 1.0, "centre": "mean", "cart_rank_share": 0.16, "lambda": 2.3},
        {"cart_rank_share": (0.02, 1.0), "lambda": (0.3, 3.0)},
        "CART",
    ),
)
SETTINGS: Mapping[str, Setting] = {s.name: s for s in (*(Setting(name, name) for name in OPERATORS), *CLAIMS)}
