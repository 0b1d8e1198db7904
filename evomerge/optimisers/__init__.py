"""Who proposes genomes: the options of every kind of optimiser, and what one of another package has to do.

    import evomerge as em

    em.optimisers.CmaEs(sigma0=0.2)
    em.optimisers.Pymoo("nsga3", population=40, ref_dirs={"n_partitions": 12})
    em.optimisers.GreedySoup(then=em.optimisers.CmaEs())
    em.optimisers.Gradient(per="tensor", steps=40)

They are what the section `optimiser` of a campaign file says. A search with one of another package is
`{kind: "my_package.search:MySearch", ...}`: any class with `ask` and `tell` (`Optimiser`), whose other parameters are
options; those that are named as attributes of `Problem` are filled in.
"""

from evomerge.optimisers.bayes.options import Bayes
from evomerge.optimisers.cma.options import CmaEs
from evomerge.optimisers.coarse_to_fine.options import CoarseToFine
from evomerge.optimisers.errors import OptimiserError
from evomerge.optimisers.gradient.options import FrankWolfe, Gradient
from evomerge.optimisers.greedy_soup_options import GreedySoup
from evomerge.optimisers.map.options import Map, NestedMap
from evomerge.optimisers.niches.options import M2N2, CycleQd, NaturalNiches
from evomerge.optimisers.options import OptimiserOptions, Random
from evomerge.optimisers.problem import Problem
from evomerge.optimisers.protocol import Optimiser
from evomerge.optimisers.pymoo.options import Pymoo
from evomerge.optimisers.structured.options import Structured

__all__ = [
    "M2N2",
    "Bayes",
    "CmaEs",
    "CoarseToFine",
    "CycleQd",
    "FrankWolfe",
    "Gradient",
    "GreedySoup",
    "Map",
    "NaturalNiches",
    "NestedMap",
    "Optimiser",
    "OptimiserError",
    "OptimiserOptions",
    "Problem",
    "Pymoo",
    "Random",
    "Structured",
]
