"""Every kind of search space by name: the one list of evomerge's own."""

from __future__ import annotations

from types import MappingProxyType

from evomerge.kinds import Kinds
from evomerge.spaces.options import SpaceOptions
from evomerge.spaces.outside import outside_space

SPACES: Kinds[SpaceOptions] = Kinds(
    "evomerge.spaces",
    MappingProxyType(
        {
            "weights": "evomerge.spaces.weights:Weights",
            "layer_flow": "evomerge.spaces.layer_flow:LayerFlow",
            "joint": "evomerge.spaces.joint:Joint",
            "niches": "evomerge.spaces.niches:Niches",
            "object": "evomerge.kinds:RecordedObject",
        }
    ),
    SpaceOptions,
    outside_space,
    default="weights",
)
