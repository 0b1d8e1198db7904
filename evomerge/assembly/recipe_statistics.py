"""Statistics for one recipe, without a campaign: what a mergekit file asks for under `statistics`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, cast

from evomerge.assembly.live_models import empty_module
from evomerge.assembly.preprocessing import output_tokenizer
from evomerge.assembly.statistics import Gathering, settings
from evomerge.config.objectives import SplitsConfig
from fitness.engine.trie import TrieLanguageModel
from fitness.errors import FitnessError
from fitness.reading import Questions, questions_of_file, questions_of_tasks
from fitness.tasks.sources import TaskContext, load_tasks, make_suite
from search_spaces.errors import SpaceError
from search_spaces.mergekit.requested import RequestedStatistics
from search_spaces.operators.recipe_facts import kinds_read
from search_spaces.operators.registry import find_operator
from search_spaces.parents.parents import Parents
from search_spaces.recipes.recipe import Recipe
from search_spaces.recipes.rule import Input, Rule

if TYPE_CHECKING:
    from torch import nn

    from search_spaces.live.resident import ResidentModel
    from search_spaces.statistics.store import Kind


def informed_recipe(
    recipe: Recipe,
    parents: Parents,
    asked: RequestedStatistics | None,
    *,
    splits: SplitsConfig | None = None,
    seed: int = 0,
    groups: Mapping[str, str] = MappingProxyType({}),
    say: Callable[[str], object] = lambda _: None,
) -> Recipe:
    """Return the recipe with the statistics that its operators read; what this machine lacks is collected.

    A recipe that names statistics already, or needs none, is returned as it is. Prompts are the search items that a
    campaign of these `splits` (None: the default ones), this `seed` and these `groups` (task -> the field that groups
    its items, where it says one) has, so that its other items stay unseen.

    Raises:
        SpaceError: an operator reads statistics, and nothing says of what.
        FitnessError: a task cannot be read, or has no prompts.
    """
    kinds = cast("tuple[Kind, ...]", kinds_read(recipe.rules))
    if not kinds or recipe.statistics:
        return recipe
    reading = [rule for rule in recipe.rules if find_operator(rule.operator).statistics]
    if asked is None:
        raise SpaceError(
            f"statistics: expected the key, as {reading[0].operator} reads what parents compute, found none; "
            "write `statistics: {tasks: [a.jsonl, b.jsonl], prompts: 64}` or `statistics: {calibration: FILE.jsonl}`"
        )
    names = tuple(dict.fromkeys(given.parent for rule in reading for given in rule.inputs))
    if "moments" in kinds and (missing := [name for name in names if name not in asked.moments]):
        raise SpaceError(f"statistics.moments: expected a file for every parent, found none for {', '.join(missing)}")
    for task, owner in asked.owners.items():
        if owner not in names:
            raise SpaceError(f"statistics.tasks: expected one of {', '.join(names)} for {task}, found {owner}")
    tokenizer = output_tokenizer(parents, recipe.base, recipe.tokenizer)
    engine = TrieLanguageModel(tokenizer)
    dtype, become = _live(recipe, parents)
    given = Gathering(
        parents,
        names,
        kinds,
        _questions(asked, TaskContext(tokenizer=tokenizer, groups=groups), splits or SplitsConfig(), seed),
        engine,
        become,
        ", ".join(dict.fromkeys(rule.operator for rule in reading)),
        settings=settings(dtype, recipe.tokenizer),
        moments={name: str(file) for name, file in asked.moments.items()},
    )
    return replace(recipe, statistics=dict(given.gather(say=say).digests))


def _questions(asked: RequestedStatistics, context: TaskContext, splits: SplitsConfig, seed: int) -> Questions:
    if asked.calibration is not None:
        return questions_of_file(asked.calibration, asked.prompts)
    if not asked.tasks:
        raise FitnessError("statistics: expected tasks or calibration for the parents to read, found neither")
    loaded = load_tasks(asked.tasks, replace(context, drawn=splits.drawn))
    owners = {task.name: asked.owners[source] for source in asked.owners for task in loaded[source]}
    suite = make_suite(
        [task for tasks in loaded.values() for task in tasks],
        tokenizer=context.tokenizer,
        shares=splits.shares,
        seed=seed,
        drawn=splits.drawn,
    )
    return questions_of_tasks(suite, asked.prompts, owners)


def _live(recipe: Recipe, parents: Parents) -> tuple[str, Callable[[str], nn.Module]]:
    """Return what parents compute in, and what makes each of them alive."""
    import torch

    from fitness.engine.model.compute_dtype import dtype_on
    from search_spaces.live.resident import ResidentModel

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    computed = dtype_on(device, getattr(torch, recipe.dtype))

    @cache
    def resident() -> ResidentModel:
        return ResidentModel(empty_module(parents, recipe.base, computed, device=device), parents)

    def become(name: str) -> nn.Module:
        alone = Recipe(recipe.parents, recipe.base, (Rule("passthrough", (Input(name),)),), recipe.dtype)
        resident().become(replace(alone, tokenizer=recipe.tokenizer))
        return resident().model

    return str(computed).removeprefix("torch."), become
