"""What can be built from a set of parents, and building it.

>>> from search_spaces import Groups, ParentSource, WeightSpace
>>> parents = {name: ParentSource(f"./{name}") for name in ("base", "maths", "words")}
>>> space = WeightSpace(parents, "base", n_layers=4, operators=["ties"], groups=Groups(2), genes={"weight": (0.0, 1.5)})
>>> space.decode(space.start()).rules[0].inputs[0].parameters
{'weight': 0.75}

Names are imported when they are first used: `import search_spaces` loads no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from search_spaces.checks.preflight import Preflight as Preflight
    from search_spaces.checks.preflight import preflight as preflight
    from search_spaces.errors import SpaceError as SpaceError
    from search_spaces.layers.architecture import build_module as build_module
    from search_spaces.layers.sources import output_names as output_names
    from search_spaces.live.coefficients import CoefficientModel as CoefficientModel
    from search_spaces.live.layer_surgery import FlowResident as FlowResident
    from search_spaces.live.resident import ResidentModel as ResidentModel
    from search_spaces.mergekit.reading import read_mergekit as read_mergekit
    from search_spaces.mergekit.writing import to_mergekit as to_mergekit
    from search_spaces.merging.factors import FactorCache as FactorCache
    from search_spaces.merging.materialise import merged_tensor as merged_tensor
    from search_spaces.merging.memory import MergeMemory as MergeMemory
    from search_spaces.operators.operator import Operands as Operands
    from search_spaces.operators.operator import Operator as Operator
    from search_spaces.operators.parameters import Flag as Flag
    from search_spaces.operators.parameters import OneOf as OneOf
    from search_spaces.operators.parameters import Real as Real
    from search_spaces.operators.parameters import Whole as Whole
    from search_spaces.operators.registry import OPERATORS as OPERATORS
    from search_spaces.operators.registry import find_operator as find_operator
    from search_spaces.operators.registry import register as register
    from search_spaces.output.export import export as export
    from search_spaces.output.export_adapter import export_adapter as export_adapter
    from search_spaces.parents.checkpoint import Checkpoint as Checkpoint
    from search_spaces.parents.parents import Parents as Parents
    from search_spaces.recipes.groups import Groups as Groups
    from search_spaces.recipes.groups import n_layers as n_layers
    from search_spaces.recipes.recipe import OutputTokenizer as OutputTokenizer
    from search_spaces.recipes.recipe import ParentSource as ParentSource
    from search_spaces.recipes.recipe import Recipe as Recipe
    from search_spaces.recipes.rule import Input as Input
    from search_spaces.recipes.rule import Rule as Rule
    from search_spaces.recipes.rule import Where as Where
    from search_spaces.spaces.flow import Flow as Flow
    from search_spaces.spaces.genes import GeneInfo as GeneInfo
    from search_spaces.spaces.joint import JointSpace as JointSpace
    from search_spaces.spaces.layer_flow import LayerFlowSpace as LayerFlowSpace
    from search_spaces.spaces.niches.niche_space import NicheSpace as NicheSpace
    from search_spaces.spaces.soup_weights import SoupWeights as SoupWeights
    from search_spaces.spaces.space import CubeSpace as CubeSpace
    from search_spaces.spaces.space import Landmark as Landmark
    from search_spaces.spaces.space import SearchSpace as SearchSpace
    from search_spaces.spaces.weight_space import WeightSpace as WeightSpace

_FACE = {
    "checks.preflight": ("Preflight", "preflight"),
    "errors": ("SpaceError",),
    "layers.architecture": ("build_module",),
    "layers.sources": ("output_names",),
    "live.coefficients": ("CoefficientModel",),
    "live.layer_surgery": ("FlowResident",),
    "live.resident": ("ResidentModel",),
    "mergekit.reading": ("read_mergekit",),
    "mergekit.writing": ("to_mergekit",),
    "merging.factors": ("FactorCache",),
    "merging.materialise": ("merged_tensor",),
    "merging.memory": ("MergeMemory",),
    "operators.operator": ("Operands", "Operator"),
    "operators.parameters": ("Flag", "OneOf", "Real", "Whole"),
    "operators.registry": ("OPERATORS", "find_operator", "register"),
    "output.export": ("export",),
    "output.export_adapter": ("export_adapter",),
    "parents.checkpoint": ("Checkpoint",),
    "parents.parents": ("Parents",),
    "recipes.groups": ("Groups", "n_layers"),
    "recipes.recipe": ("OutputTokenizer", "ParentSource", "Recipe"),
    "recipes.rule": ("Input", "Rule", "Where"),
    "spaces.flow": ("Flow",),
    "spaces.genes": ("GeneInfo",),
    "spaces.joint": ("JointSpace",),
    "spaces.layer_flow": ("LayerFlowSpace",),
    "spaces.niches.niche_space": ("NicheSpace",),
    "spaces.soup_weights": ("SoupWeights",),
    "spaces.space": ("CubeSpace", "Landmark", "SearchSpace"),
    "spaces.weight_space": ("WeightSpace",),
}
_MODULE_OF = {name: f"search_spaces.{module}" for module, names in _FACE.items() for name in names}

__all__ = sorted(_MODULE_OF)  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'search_spaces' has no attribute {name!r}")
    value = getattr(importlib.import_module(_MODULE_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return list(__all__)
