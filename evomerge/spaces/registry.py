"""Every kind of search space by name: the one list of evomerge's own."""

from __future__ import annotations

from evomerge.kinds import Kinds
from evomerge.spaces.options import SpaceOptions
from evomerge.spaces.outside import outside_space

SPACES: Kinds[SpaceOptions] = Kinds(
    "evomerge.spaces",
    {
        "weights": "evomerge.spaces.weights:Weights",
        "layer_flow": "evomerge.spaces.layer_flow:LayerFlow",
        "joint": "evomerge.spaces.joint:Joint",
        "niches": "evomerge.spaces.options:Niches",
        "object": "evomerge.kinds:RecordedObject",
    },
    SpaceOptions,
    outside_space,
    default="weights",
)
