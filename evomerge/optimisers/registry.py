"""Every kind of optimiser by name: the one list of evomerge's own."""

from __future__ import annotations

from typing import Annotated

from pydantic import JsonValue, PlainValidator, SerializeAsAny

from evomerge.kinds import Kinds
from evomerge.optimisers.options import OptimiserOptions, outside_optimiser
from evomerge.optimisers.pymoo.pymoo_catalogue import ALGORITHMS

OPTIMISERS: Kinds[OptimiserOptions] = Kinds(
    "evomerge.optimisers",
    {
        "cma_es": "evomerge.optimisers.cma.options:CmaEs",
        "structured": "evomerge.optimisers.structured.options:Structured",
        "random": "evomerge.optimisers.options:Random",
        "m2n2": "evomerge.optimisers.niches.options:M2N2",
        "cycle_qd": "evomerge.optimisers.niches.options:CycleQd",
        "bayes": "evomerge.optimisers.bayes.options:Bayes",
        "niches": "evomerge.optimisers.niches.options:NaturalNiches",
        "map": "evomerge.optimisers.map.options:Map",
        "nested_map": "evomerge.optimisers.map.options:NestedMap",
        "greedy_soup": "evomerge.optimisers.greedy_soup_options:GreedySoup",
        "coarse_to_fine": "evomerge.optimisers.coarse_to_fine.options:CoarseToFine",
        "gradient": "evomerge.optimisers.gradient.options:Gradient",
        "frank_wolfe": "evomerge.optimisers.gradient.options:FrankWolfe",
        "object": "evomerge.kinds:RecordedObject",
        **dict.fromkeys(ALGORITHMS, "evomerge.optimisers.pymoo.options:Pymoo"),
    },
    OptimiserOptions,
    outside_optimiser,
)
AnyOptimiser = Annotated[
    SerializeAsAny[OptimiserOptions], PlainValidator(OPTIMISERS.read, json_schema_input_type=dict[str, JsonValue])
]
