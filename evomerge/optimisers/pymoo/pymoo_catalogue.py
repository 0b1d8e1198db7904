"""pymoo's algorithms by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Entry:
    """One of pymoo's algorithms."""

    module: str  # below `pymoo.algorithms`
    name: str  # of the class
    # pymoo's argument that the campaign's `population` becomes; None: the algorithm has none
    population: str | None = "pop_size"
    directions: bool = False  # whether it needs reference directions (`ref_dirs`)
    constraints: bool = True  # whether it ranks by feasibility itself; otherwise losses are penalised for it
    needs_every_answer: str = ""  # why each of its values has to be exact; empty where a part of the items may do
    required: tuple[str, ...] = ()  # options that have no default
    hidden: tuple[str, ...] = ()  # arguments that its signature shows but that it sets itself
    extra: tuple[str, ...] = ()  # options that its signature does not show

    @property
    def needs_same_items(self) -> str:
        """Why its values have to be of the same items; one that learns from one at a time may have noisy ones."""
        return self.needs_every_answer if self.needs_every_answer != _ONE_BY_ONE else ""

    @property
    def of_mean(self) -> bool:
        """Whether it maximises the weighted mean of the objectives; all others look for the Pareto front."""
        return self.module.startswith("soo.")


_ONE_BY_ONE = "it learns from one candidate at a time, not from a generation"
_SINGLE_VALUES = "its steps follow single values"
_MATING = ("crossover", "mutation", "n_offsprings", "eliminate_duplicates")
_ES: Any = {"population": "n_offsprings", "hidden": ("pop_size", "crossover", "mutation", "eliminate_duplicates")}
_DECOMPOSED: Any = {"population": None, "directions": True, "constraints": False, "hidden": _MATING[2:]}

ALGORITHMS: Mapping[str, Entry] = {
    "nsga2": Entry("moo.nsga2", "NSGA2"),
    "nsga3": Entry("moo.nsga3", "NSGA3", directions=True),
    "unsga3": Entry("moo.unsga3", "UNSGA3", directions=True),
    "rnsga2": Entry("moo.rnsga2", "RNSGA2", required=("ref_points",)),
    "rnsga3": Entry("moo.rnsga3", "RNSGA3", population="pop_per_ref_point", required=("ref_points",)),
    "rvea": Entry("moo.rvea", "RVEA", directions=True, required=("n_gen",)),
    "spea2": Entry("moo.spea2", "SPEA2"),
    "sms_emoa": Entry("moo.sms", "SMSEMOA"),
    "moead": Entry("moo.moead", "MOEAD", **_DECOMPOSED, needs_every_answer=_ONE_BY_ONE),
    "moead_parallel": Entry("moo.moead", "ParallelMOEAD", **_DECOMPOSED),
    "ctaea": Entry("moo.ctaea", "CTAEA", population=None, directions=True, hidden=("pop_size", "n_offsprings")),
    "cmopso": Entry("moo.cmopso", "CMOPSO", constraints=False),
    "mopso_cd": Entry("moo.mopso_cd", "MOPSO_CD", constraints=False),
    "gde3": Entry("moo.gde3", "GDE3", hidden=_MATING),
    "gde3_mnn": Entry("moo.gde3", "GDE3MNN", hidden=_MATING),
    "gde3_2nn": Entry("moo.gde3", "GDE32NN", hidden=_MATING),
    "gde3_pcd": Entry("moo.gde3", "GDE3PCD", hidden=_MATING),
    "nsde": Entry("moo.nsde", "NSDE", hidden=_MATING),
    "nsder": Entry("moo.nsder", "NSDER", directions=True, hidden=_MATING),
    "omni_optimizer": Entry("moo.omni", "OmniOptimizer"),
    "ga": Entry("soo.nonconvex.ga", "GA"),
    "niche_ga": Entry("soo.nonconvex.ga_niching", "NicheGA"),
    "brkga": Entry("soo.nonconvex.brkga", "BRKGA", "n_offsprings", hidden=(*_MATING[:2], "pop_size")),
    "de": Entry("soo.nonconvex.de", "DE", hidden=_ES["hidden"][1:], extra=("CR", "F", "jitter", "prob_mut")),
    "es": Entry("soo.nonconvex.es", "ES", **_ES),
    "sres": Entry("soo.nonconvex.sres", "SRES", **_ES),
    "isres": Entry("soo.nonconvex.isres", "ISRES", **_ES),
    "g3pcx": Entry("soo.nonconvex.g3pcx", "G3PCX", needs_every_answer=_ONE_BY_ONE),
    "pso": Entry("soo.nonconvex.pso", "PSO"),
    "eppso": Entry("soo.nonconvex.pso_ep", "EPPSO", hidden=_MATING),
    "nrbo": Entry("soo.nonconvex.nrbo", "NRBO", constraints=False),
    "nelder_mead": Entry("soo.nonconvex.nelder", "NelderMead", None, needs_every_answer=_SINGLE_VALUES),
    "pattern_search": Entry("soo.nonconvex.pattern", "PatternSearch", None, needs_every_answer=_SINGLE_VALUES),
    "direct": Entry(
        *("soo.nonconvex.direct", "DIRECT", None),
        constraints=False,
        needs_every_answer=_SINGLE_VALUES,
        hidden=("n_sample_points",),
    ),
}
