"""The search space of a campaign and its live models: what they compute in, where, and how they are made."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from evomerge.config import BASE, CampaignConfig
from evomerge.kinds import RECORDED
from evomerge.spaces import Ingredients, SpaceOptions
from evomerge.workers.sharing import sharing_cores
from search_spaces.parents.parents import Parents
from search_spaces.recipes.recipe import ParentSource, Recipe
from search_spaces.recipes.rule import Input, Rule
from search_spaces.spaces.space import SearchSpace

if TYPE_CHECKING:
    import torch
    from torch import nn

    from search_spaces.live.layer_surgery import FlowResident
    from search_spaces.live.resident import ResidentModel


def with_compute_dtype(
    config: CampaignConfig, places: Mapping[str, ParentSource] = MappingProxyType({})
) -> CampaignConfig:
    """Return the config with `engine.dtype: auto` replaced by what this machine computes fastest in."""
    import torch

    from fitness.engine.model.compute_dtype import fastest_dtype

    if config.engine.dtype != "auto":
        return config
    dtype = config.export.dtype
    if not _on_gpu(config):
        source = config.sources[config.base_name]
        base = Parents.open({BASE: places.get(config.base_name, source)})[BASE]
        shapes = [base.shape(name) for name in base.names]
        # float16 values do not fit into bfloat16, and CPUs are slow in float16 itself.
        with sharing_cores(config.workers.count, config.workers.cpus):
            fast = fastest_dtype(shapes, torch.bfloat16) if dtype == "bfloat16" else torch.float32
        dtype = "float32" if fast == torch.float32 else "bfloat16"
    return config.model_copy(update={"engine": config.engine.model_copy(update={"dtype": dtype})})


def _on_gpu(config: CampaignConfig) -> bool:
    import torch

    return torch.cuda.is_available() and config.workers.gpus != 0


def build_resident(config: CampaignConfig, parents: Parents) -> ResidentModel | FlowResident:
    """Return a campaign's resident model, of the base's architecture; recipes with paths need one of any depth."""
    from search_spaces.live.layer_surgery import FlowResident
    from search_spaces.live.resident import ResidentModel
    from search_spaces.merging.kept_numbers import KeptNumbers
    from search_spaces.merging.memory import MergeMemory

    module = module_to_fill(config, parents)
    memory = MergeMemory(kept=KeptNumbers(parents))
    return (FlowResident if config.space.has_paths else ResidentModel)(module, parents, memory=memory)


def module_to_fill(config: CampaignConfig, parents: Parents) -> nn.Module:
    """Return a module of the base's architecture, where and in what a campaign computes."""
    import torch

    return empty_module(parents, config.base_name, getattr(torch, config.engine.dtype), on_gpu=_on_gpu(config))


def searched_section(config: CampaignConfig) -> SpaceOptions:
    """Return the section of the space whose genomes the optimiser proposes."""
    section: SpaceOptions = config.optimiser.searched(config.space)
    return section


def empty_module(parents: Parents, base: str, compute_dtype: torch.dtype, *, on_gpu: bool) -> nn.Module:
    """Return a module of the base's architecture, to be filled."""
    # float32 holds the values of every recipe's dtype exactly, bfloat16 its own.
    from search_spaces.layers.architecture import build_module

    module = build_module(parents[base], compute_dtype=compute_dtype)
    return module.to("cuda") if on_gpu else module


def build_space(
    config: CampaignConfig, parents: Parents, statistics: Mapping[str, str] | None = None
) -> SearchSpace[Any]:
    """Return the search space of a config; its recipes name statistics of the parents where they are known."""
    return searched_section(config).build(
        Ingredients(
            parents=parents,
            sources=config.sources,
            base=config.base_name,
            merge_base=config.base is None,
            dtype=config.export.dtype,
            seed=config.seed,
            tokenizer=config.output_tokenizer,
            statistics=statistics or {},
            merges=tuple(parent.name for parent in config.parents if parent.merge_of),
        )
    )


def parents_alone(config: CampaignConfig, parents: Parents) -> dict[str, Recipe]:
    """Return checkpoint -> the recipe of that one alone, as the space writes it."""
    if config.space.kind != RECORDED:
        return {landmark.name: landmark.recipe for landmark in build_space(config, parents).landmarks()}
    return {name: alone(config, name) for name in config.sources}


def alone(config: CampaignConfig, name: str) -> Recipe:
    """Return the recipe of one checkpoint alone."""
    rules = (Rule("passthrough", (Input(name),)),)
    return Recipe(
        config.sources,
        config.base_name,
        rules,
        dtype=config.export.dtype,
        seed=config.seed,
        tokenizer=config.output_tokenizer,
    )


def base_model(config: CampaignConfig, parents: Parents) -> nn.Module:
    """Return the base as a live model."""
    resident = build_resident(config, parents)
    resident.become(parents_alone(config, parents)[config.base_name])
    return resident.model


def load_checkpoint(model: str) -> tuple[nn.Module, Parents]:
    """Return one checkpoint as a live model, for `evomerge eval`."""
    import torch

    from search_spaces.live.resident import ResidentModel

    source = ParentSource(model)
    parents = Parents.open({"model": source})
    parents["model"].check_whole(own_code=False)
    resident = ResidentModel(empty_module(parents, "model", torch.float32, on_gpu=torch.cuda.is_available()), parents)
    resident.become(Recipe({"model": source}, "model", (Rule("passthrough", (Input("model"),)),), dtype="float32"))
    return resident.model, parents
