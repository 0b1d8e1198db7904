"""Statistics of a campaign's parents: gathered before its space is built, noted in its archive."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, cast

from evomerge.archive import Archive
from evomerge.assembly.building import build_parts
from evomerge.assembly.further_landmarks import FurtherLandmarks
from evomerge.assembly.live_models import build_resident, parents_alone
from evomerge.assembly.parts import Parts
from evomerge.assembly.statistics import Gathering, Statistics, settings
from evomerge.campaign.run_directory import recorded_config
from evomerge.campaign.trust import check_archive
from evomerge.errors import EvomergeError
from evomerge.spaces.options import kinds_of
from fitness.engine.trie import TrieLanguageModel
from fitness.errors import FitnessError
from fitness.reading import Questions, questions_of_file, questions_of_tasks
from search_spaces.operators.recipe_facts import kinds_read
from search_spaces.statistics.store import StatisticsStore, together

if TYPE_CHECKING:
    from torch import nn

    from search_spaces.live.layer_surgery import FlowResident
    from search_spaces.live.resident import ResidentModel
    from search_spaces.recipes.recipe import ParentSource, Recipe
    from search_spaces.statistics.store import Kind

NOTE = "statistics"


def with_statistics(
    parts: Parts, owners: Mapping[str, str] | None = None, *, say: Callable[[str], object] = lambda _: None
) -> Parts:
    """Return the parts with the statistics that the space's operators read; collects what this machine lacks.

    Args:
        parts: of a campaign.
        owners: whose tasks are whose, as an earlier gathering found; None finds it.
        say: told what is done, where it takes time.
    """
    given = gathering(parts)
    return parts if given is None else replace(parts, statistics=given.gather(owners, say=say))


def with_noted_statistics(parts: Parts, archive: Archive, *, say: Callable[[str], object] = lambda _: None) -> Parts:
    """Do the same for a search in an archive: it goes on with the statistics that it began with, or not at all."""
    parts = with_landmarks_operators(parts, archive)
    given, noted = gathering(parts), noted_statistics(archive)
    if given is None:
        return parts
    found = given.gather(None if noted is None else noted.owners, say=say)
    if noted is None:
        read = {name: given.in_words(name, found.owners) for name in found.digests}
        archive.note(NOTE, json.dumps({"digests": found.digests, "owners": found.owners, "read": read}))
    elif noted.digests != found.digests:
        changed = [name for name, digest in found.digests.items() if noted.digests.get(name) != digest]
        raise EvomergeError(
            f"statistics: expected parents, prompts and settings as they were when this search began, found others of "
            f"{', '.join(changed)}: put the files back, or start a new search in another run directory (--run-dir)"
        )
    return replace(parts, statistics=found)


def with_landmarks_operators(parts: Parts, archive: Archive) -> Parts:
    """Return the parts with the operators of a search's landmarks that read statistics."""
    chosen = FurtherLandmarks.of(archive)
    return parts if chosen is None else replace(parts, also_read=chosen.informed)


def noted_statistics(archive: Archive) -> Statistics | None:
    """Return what a search began with; None where it reads none."""
    return archive.parsed(NOTE, _statistics)


def restore_statistics(archive: Archive, recipe: Recipe, places: Mapping[str, ParentSource]) -> None:
    """Collect again what a recipe of a search reads, where this machine has it no longer; see `Parts.places`."""
    store, whole = StatisticsStore(), together(recipe.statistics.values())
    kinds, noted = cast("tuple[Kind, ...]", kinds_read(recipe.rules)), noted_statistics(archive)
    if noted is not None and not all(store.holds(d, k, whole) for d in recipe.statistics.values() for k in kinds):
        check_archive(archive, "the archive")  # its tasks are loaded, for what is read are their prompts
        parts = build_parts(recorded_config(archive), places=places)
        with_statistics(with_landmarks_operators(parts, archive), noted.owners)


def gathering(parts: Parts) -> Gathering | None:
    """Return what statistics of a campaign's parents follow from; None where its space reads none."""
    operators = tuple(dict.fromkeys((*parts.config.space.informed, *parts.also_read)))
    kinds = cast("tuple[Kind, ...]", kinds_of(operators))
    if not kinds:
        return None
    config, engine = parts.config, parts.fitness.language_model
    if not isinstance(engine, TrieLanguageModel):
        raise FitnessError(f"{operators[0]}: reads what parents compute on texts, which only decoders of text are for")

    @cache  # built when a parent first has to read
    def live() -> tuple[ResidentModel | FlowResident, dict[str, Recipe]]:
        return build_resident(config, parts.parents), parents_alone(config, parts.parents)

    def become(name: str) -> nn.Module:
        resident, alone = live()
        resident.become(alone[name])
        return resident.model

    return Gathering(
        parts.parents,
        tuple(parent.name for parent in config.parents),
        kinds,
        _questions(parts),
        engine,
        become,
        ", ".join(operators),
        settings=settings(config.engine.dtype, config.output_tokenizer),
        moments=config.statistics.moments,
        experts=tuple(parent.name for parent in config.parents if not parent.merge_of),
    )


def _questions(parts: Parts) -> Questions:
    section = parts.config.statistics
    if section.calibration is not None:
        return questions_of_file(Path(section.calibration), section.prompts)
    named = zip(parts.config.objectives, parts.objectives, strict=True)
    merged = {parent.name for parent in parts.config.parents}
    owners = {task: o.expert for o, objective in named if o.expert in merged for task in objective.tasks}
    return questions_of_tasks(parts.fitness, section.prompts, owners)


def _statistics(text: str) -> Statistics:
    noted = json.loads(text)
    return Statistics(dict(noted["digests"]), dict(noted["owners"]))
