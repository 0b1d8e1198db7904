"""What can be built: the options of every kind of search space, as the section `space` of a campaign file has them.

    import evomerge as em

    em.spaces.Weights("task_arithmetic", layer_blocks=3, genes={"weight": [0.0, 1.0]})
    em.spaces.Weights(["linear", "ties"])
    em.spaces.LayerFlow(repeats=2, window=1)

A space of another package is `{kind: "my_package.spaces:MySpace", ...}`: any class with `dim`, `decode`, `encode` and
`landmarks`, whose other parameters are options; those that are named as attributes of `Ingredients` are filled in.
"""

from evomerge.spaces.joint import Joint
from evomerge.spaces.layer_flow import LayerFlow
from evomerge.spaces.options import Ingredients, Niches, SpaceOptions
from evomerge.spaces.weights import GroupOptions, Weights

__all__ = ["GroupOptions", "Ingredients", "Joint", "LayerFlow", "Niches", "SpaceOptions", "Weights"]
