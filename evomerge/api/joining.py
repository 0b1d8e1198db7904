"""Merges that join the parents of a campaign: carried out once, before its search begins."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from evomerge.api.merging import merge, read_recipe
from evomerge.assembly import build_parts, with_compute_dtype, with_statistics
from evomerge.campaign.events import Callback, tell_all
from evomerge.config import CampaignConfig, joined_config
from evomerge.config.merges import MergeConfig
from search_spaces.operators.registry import find_operator
from search_spaces.recipes.recipe import Recipe


def joined(config: CampaignConfig, run_dir: Path, callbacks: Sequence[Callback]) -> CampaignConfig:
    """Return the campaign with its merges as parents, checkpoints under `parents/` of the run directory.

    A directory is named by its merge and the digest of the recipe: what is there already is not merged again.
    """
    found = {}
    for one in config.merges:
        recipe = _recipe(config, one, callbacks)
        digest = hashlib.sha256(recipe.to_json().encode()).hexdigest()
        target = (run_dir / "parents" / f"{one.name}-{digest[:12]}").absolute()
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            tell_all(callbacks, f"merging {one.name}", config.name)
            merge(recipe if one.recipe is None else one.recipe, target, callbacks=list(callbacks))
        found[one.name] = str(target)
    return joined_config(config, found)


def _recipe(config: CampaignConfig, one: MergeConfig, callbacks: Sequence[Callback]) -> Recipe:
    """Return what is merged; a recipe of a file without the statistics that the file asks for."""
    if one.recipe is not None:
        return read_recipe(one.recipe)
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
    parts = replace(build_parts(with_compute_dtype(config)), also_read=(one.operator,))
    read = with_statistics(parts, say=partial(tell_all, callbacks)).statistics.digests
    return replace(recipe, statistics={given.parent: read[given.parent] for given in recipe.rules[0].inputs})
