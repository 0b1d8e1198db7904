"""From the `space` section of a campaign file to the search space."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from evomerge.config import CampaignConfig
from evomerge.config.layer_flow import LayerFlowConfig
from evomerge.config.spaces import JointConfig, WeightsSpaceConfig
from search_spaces.errors import SpaceError
from search_spaces.genealogy.niche_space import NicheSpace
from search_spaces.groups import Groups, n_layers
from search_spaces.hybrid import JointSpace
from search_spaces.layer_flow import LayerFlowSpace
from search_spaces.layer_path import MERGED
from search_spaces.space import SearchSpace
from search_spaces.weight_space import WeightSpace
from search_spaces.weights.checkpoint import Checkpoint
from search_spaces.weights.parents import Parents
from search_spaces.weights.scale_folding import check_foldable


def build_space(config: CampaignConfig, parents: Parents) -> SearchSpace[Any]:
    """Return the search space of a config.

    Raises:
        SpaceError: the section does not fit the parents, such as more blocks than layers.
    """
    return _BUILDERS[config.space.kind](config, parents)


def _weights(config: CampaignConfig, parents: Parents) -> WeightSpace:
    assert isinstance(config.space, WeightsSpaceConfig)
    return _weight_space(config, config.space, parents)


def _layer_flow(config: CampaignConfig, parents: Parents) -> LayerFlowSpace:
    assert isinstance(config.space, LayerFlowConfig)
    _check_scales(config.space, parents[config.base_name])
    return LayerFlowSpace(
        config.sources,
        config.base_name,
        depths={name: n_layers(parents[name].names) for name in config.sources},
        flow=config.space.flow,
        sources=config.space.sources or [parent.name for parent in config.parents],
        embeddings_from=config.space.embeddings_from,
        dtype=config.export.dtype,
        seed=config.seed,
        tokenizer=config.output_tokenizer,
    )


def _joint(config: CampaignConfig, parents: Parents) -> JointSpace:
    assert isinstance(config.space, JointConfig)
    flow = config.space.flow
    _check_scales(flow, parents[config.base_name])
    sources = flow.sources or (MERGED, *(parent.name for parent in config.parents))
    return JointSpace(
        _weight_space(config, config.space.merge, parents),
        n_layers=n_layers(parents[config.base_name].names),
        flow=flow.flow,
        sources=sources,
        embeddings_from=flow.embeddings_from or sources[0],
    )


def _check_scales(flow: LayerFlowConfig, base: Checkpoint) -> None:
    """Check that an export can do without the scales.

    Raises:
        SpaceError: it cannot; the message tells the reason.
    """
    if not flow.scales:
        return
    try:
        check_foldable(base)
    except SpaceError as error:
        raise SpaceError(f"space.scales: expected false, found {list(flow.scales)}: {error}") from error


def _weight_space(config: CampaignConfig, space: WeightsSpaceConfig, parents: Parents) -> WeightSpace:
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
        weights=space.weights,
    )


def _niches(config: CampaignConfig, parents: Parents) -> NicheSpace:
    return NicheSpace(parents, config.base_name, merge_base=config.base is None, dtype=config.export.dtype)


_BUILDERS: Mapping[str, Callable[[CampaignConfig, Parents], SearchSpace[Any]]] = MappingProxyType(
    {"weights": _weights, "layer_flow": _layer_flow, "joint": _joint, "niches": _niches}
)
