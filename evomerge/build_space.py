"""From the `space` section of a campaign file to the search space."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from evomerge.config import CampaignConfig
from evomerge.config_spaces import WeightsSpaceConfig
from search_spaces.groups import Groups, n_layers
from search_spaces.space import SearchSpace
from search_spaces.weight_space import WeightSpace
from search_spaces.weights.parents import Parents


def build_space(config: CampaignConfig, parents: Parents) -> SearchSpace[Any]:
    """Return the search space of a config.

    Raises:
        SpaceError: the section does not fit the parents, such as more blocks than layers.
    """
    return _BUILDERS[config.space.kind](config, parents)


def _weights(config: CampaignConfig, parents: Parents) -> WeightSpace:
    space = config.space
    assert isinstance(space, WeightsSpaceConfig)
    return WeightSpace(
        config.sources,
        config.base_name,
        n_layers=n_layers(parents[config.base_name].names),
        operators=space.operator,
        groups=Groups(space.groups.layer_blocks, tuple(space.groups.modules), space.groups.depth),
        genes=space.genes,
        operator_per=space.operator_per,
        whole_model=space.whole_model,
        dtype=config.export.dtype,
        seed=config.seed,
        tokenizer=config.output_tokenizer,
        merge_base=config.base is None,
    )


_BUILDERS: Mapping[str, Callable[[CampaignConfig, Parents], SearchSpace[Any]]] = MappingProxyType({"weights": _weights})
