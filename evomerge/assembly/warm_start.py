"""Where a search begins besides the middle of its space: recipes from files, the fronts of other runs, a descent's end.

What was read or found is recorded in the archive: a resumed search begins where it began, whatever became of the files.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evomerge.archive import Archive
from evomerge.campaign.start_points import START_POINT
from evomerge.optimisers.terrain import IMPORTANCE, WARM_START
from evomerge.results.front import read_front
from search_spaces.errors import SpaceError
from search_spaces.mergekit.reading import Reading, read_with_remarks
from search_spaces.operators.registry import operators_by_dotpath
from search_spaces.recipes.recipe import ParentSource, Recipe
from search_spaces.recipes.recipe_file import recipe_in
from search_spaces.spaces.space import Landmark, SearchSpace

NOTE = "warm_start"
ARCHIVE = "archive.sqlite"


@dataclass(frozen=True, eq=False)
class WarmStart:
    """Start points of a search.

    Attributes:
        genomes: (dim,) each, in the order of the files; the optimiser begins with them.
        landmarks: what they decode to, as `warm start 1`, ...
        notes: a line for each file, for people.
    """

    genomes: tuple[NDArray[np.float64], ...]
    landmarks: tuple[Landmark, ...]
    notes: tuple[str, ...] = ()


def warm_start(
    paths: Sequence[str],
    space: SearchSpace[Any],
    sources: Mapping[str, ParentSource],
    archive: Archive,
    *,
    descend: Callable[[], NDArray[np.float64]] | None = None,
    important: Callable[[], Sequence[NDArray[np.float64]]] | None = None,
) -> WarmStart:
    """Read start points, or take those that the archive records.

    A mergekit YAML or a recipe of ours (.json) is one start point: the nearest genome of the space. A run directory
    gives those recipes of its front that this space can express. `gradient` is the genome that `descend` returns,
    `importance` are those that `important` returns.
    """
    genomes = archive.parsed(NOTE, lambda text: [np.array(genome, dtype=np.float64) for genome in json.loads(text)])
    if genomes is not None:
        return _started(genomes, space, ())
    if not paths:
        return WarmStart((), ())
    found: list[NDArray[np.float64]] = []
    notes = []
    for path in map(Path, paths):
        if str(path) == WARM_START and descend is not None:
            found.append(descend())
            notes.append("warm start: where a descent ended")
            continue
        if str(path) == IMPORTANCE and important is not None:
            found += (dropped := important())
            notes.append(f"warm start: {len(dropped)} paths without what matters least of the space's own")
            continue
        # The space expresses its own operators only: nobody else's dotpaths have to be imported.
        with operators_by_dotpath(getattr(space, "operators", ())):
            if path.is_dir():
                read = _front_of(path, space, sources)
            else:
                given = _reading(path)
                read = [_encoded(given.recipe, space, sources, path)]
                notes += [f"warm start: {path}: {remark}" for remark in given.remarks]
        fitting = [genome for genome in read if genome is not None]
        if not fitting:
            raise SpaceError(f"warm_start: {path}: none of the {len(read)} recipes on its front fits this space")
        notes.append(f"warm start: {len(fitting)} of {len(read)} recipes of {path}")
        found += fitting
    archive.note(NOTE, json.dumps([genome.tolist() for genome in found]))
    return _started(found, space, tuple(notes))


def _started(genomes: list[NDArray[np.float64]], space: SearchSpace[Any], notes: tuple[str, ...]) -> WarmStart:
    landmarks = [Landmark(f"{START_POINT} {i + 1}", space.decode(genome)) for i, genome in enumerate(genomes)]
    return WarmStart(tuple(genomes), tuple(landmarks), notes)


def _reading(path: Path) -> Reading:
    if not path.is_file():
        raise SpaceError(f"warm_start: expected a recipe or the directory of a run, found nothing at {path}")
    if path.suffix != ".json":
        return read_with_remarks(path)
    return Reading(recipe_in(path))


def _front_of(
    path: Path, space: SearchSpace[Any], sources: Mapping[str, ParentSource]
) -> list[NDArray[np.float64] | None]:
    """Return the genomes of a run's front, best mean first; None for what does not fit."""
    if not (path / ARCHIVE).is_file():
        raise SpaceError(f"warm_start: expected the directory of a run, with {ARCHIVE}, found {path}")
    with contextlib.closing(Archive.read(path / ARCHIVE)) as archive:
        points = sorted(read_front(archive).points, key=lambda point: (-point.estimate.mean, point.candidate.number))
    genomes: list[NDArray[np.float64] | None] = []
    for point in points:
        try:
            genomes.append(_encoded(point.candidate.recipe, space, sources, path))
        except SpaceError:
            genomes.append(None)
    return genomes


def _encoded(
    recipe: Recipe, space: SearchSpace[Any], sources: Mapping[str, ParentSource], path: Path
) -> NDArray[np.float64]:
    try:
        genome = np.asarray(space.encode(_with_our_names(recipe, sources)), dtype=np.float64)
    except SpaceError as error:
        raise SpaceError(f"warm_start: {path}: this campaign's space cannot express it: {error}") from error
    # A value beyond a gene's bounds starts at the bound.
    return np.clip(genome, 0.0, 1.0)


def _with_our_names(recipe: Recipe, sources: Mapping[str, ParentSource]) -> Recipe:
    """Return the recipe with this campaign's names of the checkpoints that it reads."""
    used = {recipe.base} | {given.parent for rule in recipe.rules for given in rule.inputs}
    used |= {parent for step in recipe.layers or () for parent in step}
    names = {name: _name_of(recipe.parents[name], name, sources) for name in recipe.parents if name in used}
    layers = recipe.layers and tuple({names[p]: layer for p, layer in step.items()} for step in recipe.layers)
    rules = tuple(
        replace(rule, inputs=tuple(replace(given, parent=names[given.parent]) for given in rule.inputs))
        for rule in recipe.rules
    )
    named = replace(recipe, statistics={})  # the space has its own
    return replace(named, parents=dict(sources), base=names[recipe.base], rules=rules, layers=layers)


def _name_of(source: ParentSource, name: str, sources: Mapping[str, ParentSource]) -> str:
    same = [ours for ours, theirs in sources.items() if theirs.reference == source.reference]
    if not same:
        known = ", ".join(theirs.reference for theirs in sources.values())
        raise SpaceError(f"parents: expected checkpoints of this campaign ({known}), found {name} ({source.reference})")
    return same[0]
