"""Every kind of optimiser by name: the one list of evomerge's own."""

from __future__ import annotations

from types import MappingProxyType
from typing import Annotated

from pydantic import JsonValue, PlainValidator, SerializeAsAny

from evomerge.kinds import Kinds
from evomerge.optimisers.options import OptimiserOptions, outside_optimiser
from evomerge.optimisers.pymoo.pymoo_catalogue import ALGORITHMS

OPTIMISERS: Kinds[OptimiserOptions] = Kinds(
    "evomerge.optimisers",
    MappingProxyType(
        {
            "cma_es": "evomerge.optimisers.cma.cma_kind:CmaEs",
            "structured": "evomerge.optimisers.structured.structured_kind:Structured",
            "random": "evomerge.optimisers.random_kind:Random",
            "m2n2": "evomerge.optimisers.niches.m2n2_kind:M2N2",
            "map": "evomerge.optimisers.map.map_kind:Map",
            "nested_map": "evomerge.optimisers.map.map_kind:NestedMap",
            "greedy_soup": "evomerge.optimisers.soup_kind:GreedySoup",
            "object": "evomerge.kinds:RecordedObject",
            **dict.fromkeys(ALGORITHMS, "evomerge.optimisers.pymoo.pymoo_kind:Pymoo"),
        }
    ),
    OptimiserOptions,
    outside_optimiser,
)
AnyOptimiser = Annotated[
    SerializeAsAny[OptimiserOptions], PlainValidator(OPTIMISERS.read, json_schema_input_type=dict[str, JsonValue])
]
