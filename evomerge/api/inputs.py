"""A campaign that is opened again: its parents where they lie now, and nothing of its inputs changed since."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

from evomerge.archive import Archive, ArchiveError
from evomerge.assembly import Parts
from evomerge.campaign import RunDirectory, RunDirectoryError
from evomerge.campaign.inputs import Inputs
from evomerge.campaign.places import Sources, is_gone, is_local, places_of
from evomerge.campaign.run_directory import recorded_config
from evomerge.config import CampaignConfig
from evomerge.config.changes import with_sources_of
from evomerge.errors import few_lines
from search_spaces.parents.parents import Parents
from search_spaces.recipes.recipe import ParentSource, Recipe

Say = Callable[[str], object]
UNKNOWN = (
    "inputs: the version that began this search did not record what its parents and tasks were; whether they changed "
    "is not known"
)


def reopened(
    config: CampaignConfig, directory: RunDirectory, moved: Sources
) -> tuple[CampaignConfig, dict[str, ParentSource]]:
    """Return the campaign with each parent that moved written as when it began, and the places of those that moved.

    A parent has moved if the user says so, or if the campaign file names another directory and the old one is gone;
    whether its files are the same is for `check_inputs` to say.
    """
    path = next((path for path in (directory.archive, *directory.stage_archives) if path.exists()), None)
    if path is None:
        return config, places_of(config.sources, None, moved, directory.root)
    with contextlib.closing(Archive.read(path)) as archive:
        recorded, noted = recorded_config(archive), Inputs.noted(archive)
    sources, told = recorded.sources, dict(moved)
    names = []
    for name, source in config.sources.items():
        began = sources.get(name, source)
        known = noted is not None and is_gone(began)
        if source != began and known and is_local(source) and not is_gone(source):
            told.setdefault(name, source)
        # A path that leads nowhere any more may read like a hub id.
        if name in told or (known and began.model.endswith(f"/{source.model}")):
            names.append(name)
    config = with_sources_of(config, recorded, names)
    return config, places_of(config.sources, noted, told, directory.root)


def check_inputs(archive: Archive, parts: Parts, root: Path, say: Say) -> bool:
    """Return whether a search's parents and tasks are known to be what it began with.

    They are not where it only begins, or where an older version began it, which is told.

    Raises:
        RunDirectoryError: one is not what it was.
    """
    noted = Inputs.noted(archive)
    if noted is None or not archive.n_candidates:
        if archive.n_candidates:
            say(f"{UNKNOWN}. They are recorded now")
        return False
    _refuse(noted.changes(parts.inputs), root)
    _tell_moved(parts.places, parts.config.sources, noted, say)
    return True


def note_inputs(archive: Archive, parts: Parts, root: Path) -> None:
    """Record what a search begins with, or where its parents lie by now."""
    noted = Inputs.noted(archive) if archive.n_candidates else None
    _note(archive, noted or parts.inputs, noted, _moved(parts.places, parts.config.sources), root)


def candidates_parents(path: Path, recipe: Recipe, moved: Sources, say: Say) -> tuple[Parents, Sources]:
    """Return a candidate's parents, opened, and where they lie now, after a check that they are what was scored.

    Raises:
        RunDirectoryError: one is not, or is not there.
    """
    root = path.parent
    with contextlib.closing(Archive.read(path)) as archive:
        noted = Inputs.noted(archive)
    places = places_of(recipe.parents, noted, moved, root)
    parents = Parents.of(recipe, places)
    if noted is None:
        say(UNKNOWN)
        return parents, places
    of_recipe = noted.model_copy(update={"parents": {n: f for n, f in noted.parents.items() if n in recipe.parents}})
    _refuse(list(of_recipe.changed_parents(Inputs.of(parents))), root)
    _tell_moved(places, recipe.parents, noted, say)
    with contextlib.suppress(ArchiveError), contextlib.closing(Archive.open(path)) as archive:
        _note(archive, noted, noted, {**noted.places, **_moved(places, recipe.parents)}, root)
    return parents, places


def _note(archive: Archive, inputs: Inputs, noted: Inputs | None, moved: Sources, root: Path) -> None:
    inputs = inputs.model_copy(update={"places": dict(moved), "root": str(root.absolute())})
    if inputs != noted:
        inputs.note(archive)


def _moved(places: Sources, sources: Sources) -> dict[str, ParentSource]:
    """Return the places of parents that lie elsewhere; a hub's commit is not elsewhere."""
    where = {name: (source.model, source.adapter) for name, source in sources.items()}
    return {name: place for name, place in places.items() if (place.model, place.adapter) != where[name]}


def _tell_moved(places: Sources, sources: Sources, noted: Inputs, say: Say) -> None:
    for name, place in _moved(places, sources).items():
        if noted.places.get(name) != place:
            say(f"parent {name!r} is read from {place.reference}: the files that this search began with")


def _refuse(changes: list[str], root: Path) -> None:
    if changes:
        raise RunDirectoryError(
            f"{root}: expected the parents and tasks that this search began with, found others:\n"
            f"{few_lines([f'  {change}' for change in changes], 3)}\n"
            "put them back (of what only moved, say where it is: --parent NAME=DIR), or begin a new search in another "
            "run directory"
        )
