"""pymoo's algorithms by name: which there are, and which are left out and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal


@dataclass(frozen=True)
class Entry:
    """One of pymoo's algorithms.

    Attributes:
        module: below `pymoo.algorithms`.
        name: of the class.
        goal: front: it looks for the Pareto front; mean: it maximises the weighted mean of the objectives.
        population: pymoo's argument that the campaign's `population` becomes; None: the algorithm has none.
        directions: whether it needs reference directions (`ref_dirs`).
        constraints: whether it ranks by feasibility itself; otherwise losses are penalised for it.
        generational: whether it asks for many genomes at once.
        single_values: whether its steps follow single values, so that each has to be exact.
        required: options that have no default.
        hidden: arguments that its signature shows but that it sets itself.
        extra: options that its signature does not show.
    """

    module: str
    name: str
    goal: Literal["front", "mean"] = "front"
    population: str | None = "pop_size"
    directions: bool = False
    constraints: bool = True
    generational: bool = True
    single_values: bool = False
    required: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()


_MATING = ("crossover", "mutation", "n_offsprings", "eliminate_duplicates")
_ES_HIDDEN = ("pop_size", "crossover", "mutation", "eliminate_duplicates")

ALGORITHMS: Mapping[str, Entry] = MappingProxyType(
    {
        "nsga2": Entry("moo.nsga2", "NSGA2"),
        "nsga3": Entry("moo.nsga3", "NSGA3", directions=True),
        "unsga3": Entry("moo.unsga3", "UNSGA3", directions=True),
        "rnsga2": Entry("moo.rnsga2", "RNSGA2", required=("ref_points",)),
        "rnsga3": Entry("moo.rnsga3", "RNSGA3", population="pop_per_ref_point", required=("ref_points",)),
        "rvea": Entry("moo.rvea", "RVEA", directions=True, required=("n_gen",)),
        "spea2": Entry("moo.spea2", "SPEA2"),
        "sms_emoa": Entry("moo.sms", "SMSEMOA"),
        "moead": Entry(
            "moo.moead", "MOEAD", population=None, directions=True, constraints=False, generational=False,
            hidden=_MATING[2:],
        ),
        "moead_parallel": Entry(
            "moo.moead", "ParallelMOEAD", population=None, directions=True, constraints=False, hidden=_MATING[2:]
        ),
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
        "ga": Entry("soo.nonconvex.ga", "GA", goal="mean"),
        "niche_ga": Entry("soo.nonconvex.ga_niching", "NicheGA", goal="mean"),
        "brkga": Entry(
            "soo.nonconvex.brkga", "BRKGA", goal="mean", population="n_offsprings", hidden=(*_MATING[:2], "pop_size")
        ),
        "de": Entry(
            "soo.nonconvex.de",
            "DE",
            goal="mean",
            hidden=("crossover", "mutation", "eliminate_duplicates"),
            extra=("CR", "F", "jitter", "prob_mut"),
        ),
        "es": Entry("soo.nonconvex.es", "ES", goal="mean", population="n_offsprings", hidden=_ES_HIDDEN),
        "sres": Entry("soo.nonconvex.sres", "SRES", goal="mean", population="n_offsprings", hidden=_ES_HIDDEN),
        "isres": Entry("soo.nonconvex.isres", "ISRES", goal="mean", population="n_offsprings", hidden=_ES_HIDDEN),
        "g3pcx": Entry("soo.nonconvex.g3pcx", "G3PCX", goal="mean", generational=False),
        "pso": Entry("soo.nonconvex.pso", "PSO", goal="mean"),
        "eppso": Entry("soo.nonconvex.pso_ep", "EPPSO", goal="mean", hidden=_MATING),
        "nrbo": Entry("soo.nonconvex.nrbo", "NRBO", goal="mean", constraints=False),
        "nelder_mead": Entry(
            "soo.nonconvex.nelder", "NelderMead", goal="mean", population=None, single_values=True
        ),
        "pattern_search": Entry(
            "soo.nonconvex.pattern", "PatternSearch", goal="mean", population=None, single_values=True
        ),
        "direct": Entry(
            "soo.nonconvex.direct", "DIRECT", goal="mean", population=None, constraints=False, single_values=True,
            hidden=("n_sample_points",),
        ),
    }
)  # fmt: skip

# Class -> why it has no name here.
LEFT_OUT: Mapping[str, str] = MappingProxyType(
    {
        "AGEMOEA": "it is compiled by numba, which is no dependency of evomerge",
        "AGEMOEA2": "it is compiled by numba, which is no dependency of evomerge",
        "PINSGA2": "it asks a person between generations, on standard input",
        "AutomatedDM": "it answers for a person in PINSGA2",
        "DNSGA2": "it is for objectives that change over time, and scores genomes inside its own step",
        "KGB": "it is for objectives that change over time, and scores genomes inside its own step",
        "CMAES": "it wraps pycma, which `kind: cma_es` drives directly",
        "SimpleCMAES": "it wraps pycma, which `kind: cma_es` drives directly",
        "BIPOPCMAES": "it wraps pycma, which `kind: cma_es` drives directly with `restarts: bipop`",
        "Optuna": "it wraps another optimisation library, which is no dependency of evomerge",
        "BGA": "its genomes are bits",
        "RandomSearch": "`kind: random` is the same",
    }
)
