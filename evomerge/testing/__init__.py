"""Contracts for what other packages bring: pytest classes to subclass, each with a few fixtures or attributes to give.

    from evomerge.testing import OptimiserContract

    class TestMySearch(OptimiserContract):
        factory = "my_package.search:MySearch"
        arguments = {"dim": 3, "seed": 0}

They need pytest, and hypothesis for spaces; nothing else of evomerge imports them.
"""

from evomerge.testing.engine_contract import EngineContract
from evomerge.testing.fitness_contract import FitnessContract
from evomerge.testing.operator_contract import OperatorContract
from evomerge.testing.optimiser_contract import OptimiserContract
from evomerge.testing.search_space_contract import SearchSpaceContract

__all__ = ["EngineContract", "FitnessContract", "OperatorContract", "OptimiserContract", "SearchSpaceContract"]
