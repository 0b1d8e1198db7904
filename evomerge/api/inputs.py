"""A campaign that is opened again: its parents where they lie now, and nothing of its inputs changed since."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

from pydantic import ValidationError

from evomerge.archive import Archive, ArchiveError
from evomerge.assembly import Parts
from evomerge.campaign import RunDirectory, RunDirectoryError
from evomerge.campaign.inputs import Inputs
from evomerge.campaign.places import Sources, is_gone, is_local, places_of
from evomerge.campaign.run_directory import recorded_config
from evomerge.config import CampaignConfig
from evomerge.config.changes import with_sources_of
from evomerge.errors import few_lines, in_brief
from fitness.errors import FitnessError
from search_spaces.cache_directory import keep_text
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


def check_inputs(archive: Archive, parts: Parts, root: Path, say: Say, *, recorded_next: bool = True) -> bool:
    """Return whether a search's parents and tasks are known to be what it began with.

    They are not where it only begins, or where an older version began it, which is told.

    Args:
        archive: of the search.
        parts: its parts, as they are now.
        root: the run directory.
        say: told what moved, or is not known.
        recorded_next: whether the caller records what they are.

    Raises:
        RunDirectoryError: one is not what it was.
    """
    noted = Inputs.noted(archive)
    if noted is None or not archive.n_candidates:
        if archive.n_candidates:
            say(f"{UNKNOWN}{'. They are recorded now' if recorded_next else ''}")
        return False
    _refuse(noted.changes(parts.inputs), root)
    _tell_moved(parts.places, parts.config.sources, noted, say)
    return True


def keep_or_check(file: Path, parts: Parts, *, rows: bool, say: Say) -> None:
    """Record what scores beside a file are of, or check that it is what was recorded before the first of them.

    Args:
        file: JSON, of `Inputs`.
        parts: whose models and items are scored.
        rows: whether there are scores already.
        say: told of scores without a record.

    Raises:
        FitnessError: a parent or a task is not what it was.
    """
    if rows and file.is_file():
        changes = _read(file).changes(parts.inputs)
        if changes:
            raise FitnessError(
                f"{file.parent}: expected the parents and tasks that its rows are scores of, found others:\n"
                f"{few_lines([f'  {change}' for change in changes], 3)}\n"
                "put them back, remove the directory, or choose another --out"
            )
        return
    if rows:
        say(f"{file.parent}: an older version did not record what its rows are scores of. It is recorded now")
    keep_text(file, parts.inputs.model_dump_json())


def _read(file: Path) -> Inputs:
    try:
        return Inputs.model_validate_json(file.read_bytes())
    except (OSError, ValidationError) as error:
        raise FitnessError(
            f"{file}: expected a record of parents and tasks, found what cannot be read ({in_brief(error)}); remove "
            "the directory, or choose another --out"
        ) from error


def note_inputs(archive: Archive, parts: Parts, root: Path) -> None:
    """Record what a search begins with, or where its parents lie by now."""
    noted = Inputs.noted(archive) if archive.n_candidates else None
    now = _at(noted or parts.inputs, _moved(parts.places, parts.config.sources), root)
    if now != noted:
        now.note(archive)


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
    now = _at(noted, {**noted.places, **_moved(places, recipe.parents)}, root)
    if now != noted:
        with contextlib.suppress(ArchiveError), contextlib.closing(Archive.open(path)) as archive:
            now.note(archive)  # where one may write
    return parents, places


def _at(inputs: Inputs, moved: Sources, root: Path) -> Inputs:
    # The root stays: what the campaign names in it lay there, however often it moves.
    return inputs.model_copy(update={"places": dict(moved), "root": inputs.root or str(root.absolute())})


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
