"""What can be searched: genome -> recipe. `search_spaces.NicheSpace` reads weights, and is not imported here."""

from search_spaces.spaces.flow import Flow
from search_spaces.spaces.joint import JointSpace
from search_spaces.spaces.layer_flow import LayerFlowSpace
from search_spaces.spaces.space import CubeSpace, Landmark, SearchSpace, Structure
from search_spaces.spaces.weight_space import WeightSpace

__all__ = ["CubeSpace", "Flow", "JointSpace", "Landmark", "LayerFlowSpace", "SearchSpace", "Structure", "WeightSpace"]
