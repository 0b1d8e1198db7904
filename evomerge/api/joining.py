"""Merges that join the parents of a campaign: carried out once, before its search begins."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from evomerge.api.inputs import reopened
from evomerge.api.merging import merge, read_with_request
from evomerge.assembly import build_parts, settled, with_statistics
from evomerge.assembly.recipe_statistics import informed_recipe
from evomerge.campaign import RunDirectory
from evomerge.campaign.events import Callback, tell_all
from evomerge.campaign.places import Sources
from evomerge.config import CampaignConfig, joined_config
from evomerge.config.merges import MergeConfig
from evomerge.workers.sharing import sharing_cores
from search_spaces.operators.registry import find_operator
from search_spaces.parents.parents import Parents
from search_spaces.recipes.recipe import Recipe

if TYPE_CHECKING:
    from evomerge.assembly.learnt_merge import LearntMerge


def joined(
    config: CampaignConfig,
    directory: RunDirectory,
    callbacks: Sequence[Callback],
    moved: Sources = MappingProxyType({}),
) -> CampaignConfig:
    """Return the campaign with its merges as parents, checkpoints under `parents/` of the run directory.

    A directory is named by its merge and the digest of what it follows from: what is there already is not made again.
    """
    if not config.merges:
        return config
    found = {}
    with directory.locked(), sharing_cores(config.workers.count, config.workers.cpus):
        config, places = reopened(config, directory, moved)
        for one in config.merges:
            digest, write = _merge(config, one, callbacks, places)
            target = (directory.root / "parents" / f"{one.name}-{digest[:12]}").absolute()
            if not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                tell_all(callbacks, f"merging {one.name}", config.name)
                write(target)
            found[one.name] = str(target)
    return joined_config(config, found)


def learnt_merge(config: CampaignConfig, one: MergeConfig, places: Sources = MappingProxyType({})) -> LearntMerge:
    """Return the merge that a descent makes; nothing is learnt yet."""
    from evomerge.assembly.learnt_merge import LearntMerge

    assert one.descent is not None
    parts = build_parts(settled(config, places), places=places)
    return LearntMerge(parts, one.descent, one.parents or tuple(parent.name for parent in config.parents))


def _merge(
    config: CampaignConfig, one: MergeConfig, callbacks: Sequence[Callback], places: Sources
) -> tuple[str, Callable[[Path], object]]:
    """Return the digest that names a merge, and what writes it."""
    if one.descent is not None:
        learnt = learnt_merge(config, one, places)
        return learnt.digest, partial(learnt.write, say=lambda text: tell_all(callbacks, text, one.name))
    recipe = _recipe(config, one, callbacks, places)
    digest = hashlib.sha256(recipe.to_json().encode()).hexdigest()
    carry_out = partial(merge, allow_differences=config.allow_differences, trust_remote_code=config.trust_remote_code)
    return digest, lambda target: carry_out(recipe, target, callbacks=list(callbacks))


def _recipe(config: CampaignConfig, one: MergeConfig, callbacks: Sequence[Callback], places: Sources) -> Recipe:
    """Return what is merged; what its statistics are of, are search items of the campaign."""
    say = partial(tell_all, callbacks)
    if one.recipe is not None:
        read = read_with_request(one.recipe)
        for remark in read.remarks:
            tell_all(callbacks, remark, one.name)
        parents = Parents.of(read.recipe)
        return informed_recipe(
            read.recipe, parents, read.requested, splits=config.splits, seed=config.seed, groups=config.groups, say=say
        )
    assert one.operator is not None
    recipe = Recipe(
        config.sources,
        config.base_name,
        (one.rule([parent.name for parent in config.parents]),),
        dtype=config.export.dtype,
        seed=config.seed,
        tokenizer=config.output_tokenizer,
    )
    if not find_operator(one.operator).statistics:
        return recipe
    parts = replace(build_parts(settled(config, places), places=places), also_read=(one.operator,))
    digests = with_statistics(parts, say=say).statistics.digests
    return replace(recipe, statistics={given.parent: digests[given.parent] for given in recipe.rules[0].inputs})
