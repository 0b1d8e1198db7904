"""Where a campaign's parents lie now: what moved since it began, and the hub's commits that it began with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from evomerge.campaign.inputs import Inputs
from evomerge.campaign.owner_file import RunDirectoryError
from evomerge.config import ConfigError, ConfigProblem
from evomerge.errors import did_you_mean
from search_spaces.parents.adapter_files import is_adapter
from search_spaces.recipes.recipe import ParentSource

Sources = Mapping[str, ParentSource]


def moved_sources(moved: Mapping[str, str], sources: Sources) -> dict[str, ParentSource]:
    """Return the sources that parents have at the directories that the user names.

    A directory is the model's; of a parent with an adapter, the adapter's where it holds one. MODEL+ADAPTER names both.

    Raises:
        ConfigError: no parent has such a name, or there is no such directory.
    """
    found = {}
    for name, text in moved.items():
        if name not in sources:
            expected = f"one of {', '.join(sources)}"
            raise ConfigError(None, [ConfigProblem("parent", None, expected, repr(name), did_you_mean(name, sources))])
        found[name] = _at(sources[name], name, text)
    return found


def _at(source: ParentSource, name: str, text: str) -> ParentSource:
    whole = Path(text).expanduser().absolute()
    model, plus, adapter = (text, "", "") if whole.is_dir() else text.partition("+")
    directories = [Path(part).expanduser().absolute() for part in (model, adapter)[: 2 if plus else 1]]
    for directory in directories:
        if not directory.is_dir():
            problem = ConfigProblem(f"parent {name}", None, "the directory of a checkpoint", f"none at {directory}")
            raise ConfigError(None, [problem])
    if plus:
        return ParentSource(str(directories[0]), adapter=str(directories[1]))
    [directory] = directories
    if source.adapter is not None and is_adapter(directory):
        return replace(source, adapter=str(directory), adapter_revision=None)
    return replace(source, model=str(directory), revision=None)


def places_of(sources: Sources, noted: Inputs | None, moved: Sources, root: Path) -> dict[str, ParentSource]:
    """Return name -> where to open a parent, of those that are not to be opened where the campaign says.

    Args:
        sources: the campaign's.
        noted: what it began with; None where nobody recorded it.
        moved: what the user says.
        root: the run directory.

    Raises:
        RunDirectoryError: a parent's directory is not there, and nobody says where it is.
    """
    places = {}
    for name, source in sources.items():
        place = moved.get(name) or _place(name, source, noted or Inputs(), root.absolute())
        gone = [path for path in (place.model, place.adapter) if path is not None and _is_gone(path)]
        if gone:
            raise RunDirectoryError(
                f"parent {name!r}: expected the files that this search began with at {gone[0]}, found no such "
                f"directory; put them back, or say where they are: --parent {name}=DIR"
            )
        if place != source:
            places[name] = place
    return places


def _place(name: str, source: ParentSource, noted: Inputs, root: Path) -> ParentSource:
    before = noted.places.get(name)
    if before is not None and is_gone(source) and not is_gone(before):
        return before
    model, adapter = noted.commits.get(name, (None, None))
    with_run = replace(
        source,
        model=_moved_with(source.model, noted.root, root),
        adapter=None if source.adapter is None else _moved_with(source.adapter, noted.root, root),
    )
    return replace(
        with_run,
        revision=model if model is not None and not _is_path(source.model) else source.revision,
        adapter_revision=adapter if adapter is not None and source.adapter else source.adapter_revision,
    )


def _moved_with(path: str, old: str, root: Path) -> str:
    """Return where something that lay in the run directory lies now that this one has moved."""
    if not old or not _is_gone(path) or not Path(path).is_relative_to(old):
        return path
    return str(root / Path(path).relative_to(old))


def is_gone(source: ParentSource) -> bool:
    """Return whether a directory of a source is no longer there; what is the hub's is never gone."""
    return any(path is not None and _is_gone(path) for path in (source.model, source.adapter))


def is_local(source: ParentSource) -> bool:
    """Return whether a source is directories alone."""
    return _is_path(source.model) and (source.adapter is None or _is_path(source.adapter))


def _is_gone(path: str) -> bool:
    return _is_path(path) and not Path(path).exists()


def _is_path(text: str) -> bool:
    return Path(text).is_absolute()
