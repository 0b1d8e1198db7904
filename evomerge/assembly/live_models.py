"""The search space of a campaign and its live models: what they compute in, where, and how they are made."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from evomerge.assembly.gpus import device_of, gpus_each
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
    """Return the config with `engine.dtype: auto` replaced by what its workers compute fastest in."""
    import torch

    from fitness.engine.model.compute_dtype import dtype_on, fastest_dtype

    if config.engine.dtype != "auto":
        return config
    stored: torch.dtype = getattr(torch, config.export.dtype)
    if gpus_each(config):
        # A driver that has no GPU takes the workers' for ones that are made for bfloat16.
        fast = dtype_on(torch.device("cuda"), stored) if torch.cuda.is_available() else stored
        return _computing_in(config, fast)
    source = config.sources[config.base_name]
    base = Parents.open({BASE: places.get(config.base_name, source)})[BASE]
    shapes = [base.shape(name) for name in base.names]
    # float16 values do not fit into bfloat16, and CPUs are slow in float16 itself.
    with sharing_cores(config.workers.count, config.workers.cpus):
        fast = fastest_dtype(shapes, torch.bfloat16) if stored == torch.bfloat16 else torch.float32
    return _computing_in(config, fast)


def _computing_in(config: CampaignConfig, dtype: torch.dtype) -> CampaignConfig:
    name = str(dtype).removeprefix("torch.")
    return config.model_copy(update={"engine": config.engine.model_copy(update={"dtype": name})})


def build_resident(config: CampaignConfig, parents: Parents) -> ResidentModel | FlowResident:
    """Return a campaign's resident model, of the base's architecture; recipes with paths need one of any depth."""
    from evomerge.assembly.residency import supply_of
    from search_spaces.live.layer_surgery import FlowResident
    from search_spaces.live.resident import ResidentModel
    from search_spaces.merging.kept_numbers import KeptNumbers
    from search_spaces.merging.memory import MergeMemory

    supply = supply_of(config, parents)
    module = module_to_fill(config, parents)
    memory = MergeMemory(kept=KeptNumbers(parents), supply=supply)
    if not config.space.has_paths:
        return ResidentModel(module, parents, memory=memory)
    return FlowResident(module, parents, memory=memory, pure_bytes=room_for_parents(device_of(config)))


def module_to_fill(config: CampaignConfig, parents: Parents) -> nn.Module:
    """Return a module of the base's architecture, where and in what a campaign computes."""
    import torch

    return empty_module(parents, config.base_name, getattr(torch, config.engine.dtype), device=device_of(config))


def room_for_parents(device: torch.device) -> float:
    """Return how many bytes of parents' own weights stay on a device: half of what a GPU has free, beside scoring."""
    from fitness.engine.model.memory import room_on

    return room_on(device)[0] / 2 if device.type == "cuda" else math.inf


def searched_section(config: CampaignConfig) -> SpaceOptions:
    """Return the section of the space whose genomes the optimiser proposes."""
    section: SpaceOptions = config.optimiser.searched(config.space)
    return section


def empty_module(parents: Parents, base: str, compute_dtype: torch.dtype, *, device: torch.device) -> nn.Module:
    """Return a module of the base's architecture on a device, to be filled."""
    # float32 holds the values of every recipe's dtype exactly, bfloat16 its own.
    from search_spaces.layers.architecture import build_module
    from search_spaces.live.placing import placed

    return placed(build_module(parents[base], compute_dtype=compute_dtype), device)


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


def load_checkpoint(model: str, device: torch.device | None = None) -> tuple[nn.Module, Parents]:
    """Return one checkpoint as a live model, for `evomerge eval`; device None is a GPU where there is one.

    It computes in float32 on a CPU, and on a GPU in what it is stored in, as a search does there.
    """
    import torch

    from fitness.engine.model.compute_dtype import dtype_on
    from search_spaces.live.placing import stored_dtype
    from search_spaces.live.resident import ResidentModel

    source = ParentSource(model)
    parents = Parents.open({"model": source})
    parents["model"].check_whole(own_code=False)
    where = torch.device("cuda" if torch.cuda.is_available() else "cpu") if device is None else device
    stored = stored_dtype(parents["model"]) if where.type != "cpu" else torch.float32
    resident = ResidentModel(empty_module(parents, "model", dtype_on(where, stored), device=where), parents)
    name: Any = str(stored).removeprefix("torch.")
    resident.become(Recipe({"model": source}, "model", (Rule("passthrough", (Input("model"),)),), dtype=name))
    return resident.model, parents
